"""Rule predict_best_epsilon: accuracy and granularity -> what predicts the best epsilon."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.granularity_table import (
    granularity_points,
    granularity_predictions,
)
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        accuracy = main_rows(read_table(snakemake.input.accuracy))
        points = granularity_points(accuracy, read_table(snakemake.input.granularity))
        predictions = granularity_predictions(points, **snakemake.params.settings)
        write_table(snakemake.output.points, points)
        write_table(snakemake.output.predictions, predictions)
