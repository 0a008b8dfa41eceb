"""Rule score_detections: detections + true objects -> average precision, with intervals."""

from pathlib import Path

from robust_transfer.detection.score import score_detections
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        score_detections(
            snakemake.input.detections,
            snakemake.input.about,
            Path(snakemake.input.scenes).parent,
            scores=snakemake.output.scores,
            examples=snakemake.output.shown,
            **snakemake.params.settings,
        )
