"""Rule correlate: accuracy.csv -> pearson.csv, source accuracy against transfer accuracy."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.source_correlation import pearson_table
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        accuracy = main_rows(read_table(snakemake.input.accuracy))
        write_table(snakemake.output.pearson, pearson_table(accuracy, **snakemake.params.settings))
