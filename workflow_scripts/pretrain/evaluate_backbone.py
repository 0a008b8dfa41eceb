"""Rule evaluate_backbone: weights + source cache -> accuracies and attacked examples."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads
from robust_transfer.training.score import evaluate_backbone

if __name__ == "__main__":
    with recorded(snakemake):
        use_threads(snakemake.threads)
        evaluate_backbone(
            snakemake.input.weights,
            snakemake.input.cost,
            Path(snakemake.input.cache[0]).parent,
            record=snakemake.output.record,
            examples=snakemake.output.examples,
            on_device_mb=snakemake.resources.images_on_device_mb,
            **snakemake.params.settings,
        )
