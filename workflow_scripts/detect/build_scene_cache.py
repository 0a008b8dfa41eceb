"""Rule build_scene_cache: images with boxes and masks -> memory-mapped cache and manifest."""

from pathlib import Path

from robust_transfer.records.job import recorded
from robust_transfer.scenes.build import build_scene_cache

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        build_scene_cache(
            output=Path(snakemake.output.manifest).parent,
            workers=snakemake.threads,
            code=snakemake.params.code,
            **snakemake.params.settings,
        )
