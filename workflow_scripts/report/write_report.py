"""Rule write_report: tables and figures -> one HTML page, and the tables as CSV and LaTeX."""

from pathlib import Path

from robust_transfer.figures.results import read_all
from robust_transfer.records.job import recorded
from robust_transfer.report.models import exported_models
from robust_transfer.report.page import write_report

if __name__ == "__main__":
    with recorded(snakemake):
        write_report(
            snakemake.output.page,
            study_config=snakemake.params.study_config,
            tables=read_all(dict(snakemake.input.items())),
            figures_folder=Path(snakemake.input.figures[0]).parent,
            tables_folder=Path(snakemake.output.tables[0]).parent,
            commands=snakemake.params.commands,
            models=exported_models(
                snakemake.input.models,
                snakemake.input.model_snippets,
                snakemake.input.confusions,
                snakemake.input.mistakes,
            ),
        )
