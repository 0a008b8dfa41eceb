"""Rule transfer_backbone: weights + image cache -> test-set predictions, one file a seed."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads
from robust_transfer.transfer.cell import transfer_cell

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        use_threads(snakemake.threads)
        transfer_cell(
            snakemake.input.weights,
            Path(snakemake.input.cache[0]).parent,
            predictions=snakemake.output.predictions,
            records=snakemake.output.records,
            code=snakemake.params.code,
            features=next(iter(snakemake.input.features), None),
            **snakemake.params.settings,
        )
