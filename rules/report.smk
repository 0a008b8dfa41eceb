# Tables -> figures and one HTML report. No GPU, seconds.
from robust_transfer.figures.catalogue import CATALOGUE, FORMATS
from robust_transfer.report.contents import TABLE_FORMATS, TABLES


rule draw_figures:
    """Draw every figure as SVG and PNG, each with the CSV of what it shows."""
    input:
        **result_tables(),
        histories=trained_here(rules.pretrain_backbone.output.history),
        examples=scored_here(rules.evaluate_backbone.output.examples),
    output:
        vectors=[
            report(
                f"{RESULTS}/report/figures/{name}.svg",
                caption=f"captions/{name}.rst",
                category="Figures",
                labels={"figure": entry.title},
            )
            for name, entry in CATALOGUE.items()
        ],
        others=expand(
            f"{RESULTS}/report/figures/{{name}}.{{format}}",
            name=CATALOGUE,
            format=[suffix for suffix in FORMATS if suffix != "svg"],
        ),
    log:
        f"{RESULTS}/report/draw_figures.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        study_config=study.settings,
        captions={name: entry.caption for name, entry in CATALOGUE.items()},
        code=code_digest("report/draw_figures.py"),
    script:
        "../workflow_scripts/report/draw_figures.py"


rule write_report:
    """Write the report: the answer first, then figures and tables, in one HTML file."""
    input:
        **result_tables(),
        figures=rules.draw_figures.output.vectors,
        pixels_and_data=rules.draw_figures.output.others,
    output:
        page=report(
            f"{RESULTS}/report/report.html",
            caption="captions/page.rst",
            category="Report",
            labels={"page": "the study, answer first"},
        ),
        tables=expand(
            f"{RESULTS}/report/tables/{{name}}.{{format}}",
            name=TABLES,
            format=TABLE_FORMATS,
        ),
    log:
        f"{RESULTS}/report/write_report.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        study_config=study.settings,
        commands=commands(),
        code=code_digest("report/write_report.py"),
    script:
        "../workflow_scripts/report/write_report.py"
