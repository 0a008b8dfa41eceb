"""Rule initialise_backbone: a seed -> weights that are never trained, and their record."""

from robust_transfer.backbones.untrained import initialise_backbone
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        initialise_backbone(**snakemake.params.settings, outputs=dict(snakemake.output.items()))
