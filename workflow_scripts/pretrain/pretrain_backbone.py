"""Rule pretrain_backbone: source cache -> backbone, history, accuracies, attacked examples."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.training.device import use_threads
from robust_transfer.training.launch import pretrain_on

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        use_threads(snakemake.threads)
        pretrain_on(
            snakemake.resources.gpu,
            Path(snakemake.input.cache[0]).parent,
            outputs=dict(snakemake.output.items()),
            code=snakemake.params.code,
            on_device_mb=snakemake.resources.images_on_device_mb,
            **snakemake.params.settings,
        )
