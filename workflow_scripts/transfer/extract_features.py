"""Rule extract_features: weights + image cache -> features of all images, and their record."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads
from robust_transfer.transfer.kept_features import extract_features

if __name__ == "__main__":
    with recorded(snakemake):
        use_threads(snakemake.threads)
        extract_features(
            snakemake.input.weights,
            Path(snakemake.input.cache[0]).parent,
            snakemake.output.features,
            snakemake.output.about,
            **snakemake.params.settings,
        )
