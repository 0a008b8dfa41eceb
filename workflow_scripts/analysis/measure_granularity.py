"""Rule measure_granularity: frozen features and image caches -> granularity.csv."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.granularity_table import granularity_table
from robust_transfer.statistics.tables import write_table

if __name__ == "__main__":
    with recorded(snakemake):
        table = granularity_table(snakemake.input.features, snakemake.params.caches)
        write_table(snakemake.output.granularity, table)
