"""Rule draw_figures: tables, histories and attacked examples -> figures (SVG, PNG, CSV)."""

from pathlib import Path

from robust_transfer.figures.draw import draw_all
from robust_transfer.figures.results import read_all
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        draw_all(
            Path(snakemake.output[0]).parent,
            study_config=snakemake.params.study_config,
            tables=read_all(dict(snakemake.input.items())),
            histories=snakemake.input.histories,
            examples=snakemake.input.examples,
            detected=snakemake.input.detected,
        )
