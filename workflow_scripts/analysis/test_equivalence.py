"""Rule test_equivalence: accuracy.csv -> equivalence.csv, with the placebo contrasts."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.equivalence import equivalence_table
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        accuracy = main_rows(read_table(snakemake.input.accuracy))
        table = equivalence_table(accuracy, **snakemake.params.settings)
        write_table(snakemake.output.equivalence, table)
