"""Rule recommend_backbone: accuracies and right images -> recommendation.csv."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.recommendation_table import recommendation_table
from robust_transfer.statistics.right_images import read_right_images
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        table = recommendation_table(
            read_table(snakemake.input.accuracy),
            read_right_images(snakemake.input.right),
            **snakemake.params.settings,
        )
        write_table(snakemake.output.recommendation, table)
