"""Rule tabulate_accuracy: predictions, records, published numbers -> accuracy.csv and two more."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.accuracy import accuracy_table, robustness_table
from robust_transfer.statistics.right_images import right_images, write_right_images
from robust_transfer.statistics.tables import write_table

if __name__ == "__main__":
    with recorded(snakemake):
        runs = (snakemake.input.predictions, snakemake.input.records)
        accuracy = accuracy_table(
            *runs, snakemake.input.backbones, external=snakemake.input.external
        )
        write_table(snakemake.output.accuracy, accuracy)
        write_table(snakemake.output.robustness, robustness_table(*runs))
        write_right_images(snakemake.output.right, right_images(accuracy, *runs))
