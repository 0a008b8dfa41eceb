"""Rule train_detector: backbone + scenes -> what the trained detector finds in test images."""

from pathlib import Path

from robust_transfer.detection.cell import train_cell_on
from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        use_threads(snakemake.threads)
        train_cell_on(
            snakemake.resources.gpu,
            snakemake.input.weights,
            Path(snakemake.input.scenes).parent,
            outputs=dict(snakemake.output.items()),
            code=snakemake.params.code,
            **snakemake.params.settings,
        )
