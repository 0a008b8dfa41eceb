"""Rule fetch_dataset: archives on the web -> a published dataset below data_root."""

from robust_transfer.images.fetch import fetch_dataset
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        fetch_dataset(
            snakemake.wildcards.kind,
            record=snakemake.output.record,
            **snakemake.params.settings,
        )
