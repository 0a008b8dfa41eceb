"""Rule fetch_checkpoint: an address -> the checkpoint that lies there, checked."""

from robust_transfer.backbones.addresses import fetch_checkpoint
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        fetch_checkpoint(path=snakemake.output.checkpoint, **snakemake.params.settings)
