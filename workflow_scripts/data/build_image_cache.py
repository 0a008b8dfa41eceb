"""Rule build_image_cache: original images -> memory-mapped cache and manifest."""

from pathlib import Path

from robust_transfer.images.build import build_cache
from robust_transfer.records.job import recorded

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        build_cache(
            resolution=snakemake.wildcards.resolution,
            folder=Path(snakemake.output.manifest).parent,
            workers=snakemake.threads,
            code=snakemake.params.code,
            **snakemake.params.settings,
        )
