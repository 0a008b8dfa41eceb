"""Rule import_backbone: somebody's checkpoint -> a backbone of ours, and its record."""

from robust_transfer.backbones.importing import import_backbone
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        import_backbone(
            snakemake.input.checkpoint,
            outputs=dict(snakemake.output.items()),
            **snakemake.params.settings,
        )
