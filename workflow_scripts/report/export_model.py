"""Rule export_model: the recommended backbone and mode -> its model, for plain torchvision."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads
from robust_transfer.transfer.export import export_model

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        use_threads(snakemake.threads)
        export_model(
            snakemake.input.recommendation,
            weights=snakemake.input.weights,
            cache_folder=Path(snakemake.input.cache[0]).parent,
            predictions=snakemake.input.predictions,
            records=snakemake.input.records,
            outputs=dict(snakemake.output.items()),
            code=snakemake.params.code,
            **snakemake.params.settings,
        )
