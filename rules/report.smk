# Tables -> figures and one HTML report. No GPU, seconds.
from robust_transfer.figures.catalogue import CATALOGUE, FORMATS
from robust_transfer.report.contents import TABLE_FORMATS, TABLES


rule draw_figures:
    """Draw every figure as SVG and PNG, each with the CSV of what it shows."""
    input:
        **result_tables(),
        histories=trained_here(rules.pretrain_backbone.output.history),
        examples=scored_here(rules.evaluate_backbone.output.examples),
        detected=shown_detectors(rules.score_detections.output.shown),
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


rule export_model:
    """Fit the recommended backbone and mode again, and write the model for plain torchvision."""
    input:
        recommendation=rules.recommend_backbone.output.recommendation,
        weights=weights_of_all,
        cache=lambda wildcards: cache_of(wildcards.dataset, wildcards.resolution),
        predictions=transfers_to(rules.transfer_backbone.output.predictions),
        records=transfers_to(rules.transfer_backbone.output.records),
    output:
        model=f"{RESULTS}/export/{{dataset}}/{{resolution}}/model.safetensors",
        snippet=f"{RESULTS}/export/{{dataset}}/{{resolution}}/load_model.py",
        classes=f"{RESULTS}/export/{{dataset}}/{{resolution}}/classes.txt",
        logits=f"{RESULTS}/export/{{dataset}}/{{resolution}}/logits.npz",
        confusion=f"{RESULTS}/export/{{dataset}}/{{resolution}}/confusion.csv",
        mistakes=f"{RESULTS}/export/{{dataset}}/{{resolution}}/mistakes.npz",
        about=f"{RESULTS}/export/{{dataset}}/{{resolution}}/model.json",
    log:
        f"{RESULTS}/export/{{dataset}}/{{resolution}}/export_model.log",
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,
    params:
        settings=export_settings,
        code=code_digest("report/export_model.py"),
    script:
        "../workflow_scripts/report/export_model.py"


rule write_report:
    """Write the report: the answer first, then figures and tables, in one HTML file."""
    input:
        **result_tables(),
        figures=rules.draw_figures.output.vectors,
        pixels_and_data=rules.draw_figures.output.others,
        models=exported("about"),
        model_snippets=exported("snippet"),
        confusions=exported("confusion"),
        mistakes=exported("mistakes"),
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
