"""Rule tabulate_detection: scores of detectors -> detection.csv."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.detection import detection_table
from robust_transfer.statistics.tables import write_table

if __name__ == "__main__":
    with recorded(snakemake):
        write_table(
            snakemake.output.detection,
            detection_table(snakemake.input.scores, snakemake.input.backbones),
        )
