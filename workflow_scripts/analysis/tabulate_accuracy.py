"""Rule tabulate_accuracy: predictions, records and published numbers -> accuracy.csv."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.accuracy import accuracy_table, robustness_table
from robust_transfer.statistics.tables import write_table

if __name__ == "__main__":
    with recorded(snakemake):
        write_table(
            snakemake.output.accuracy,
            accuracy_table(
                snakemake.input.predictions,
                snakemake.input.records,
                snakemake.input.backbones,
                external=snakemake.input.external,
            ),
        )
        write_table(
            snakemake.output.robustness,
            robustness_table(snakemake.input.predictions, snakemake.input.records),
        )
