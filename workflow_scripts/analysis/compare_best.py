"""Rule compare_best: accuracy.csv -> headline.csv, best robust beside best standard."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.headline import headline_table
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        accuracy = main_rows(read_table(snakemake.input.accuracy))
        write_table(snakemake.output.headline, headline_table(accuracy))
