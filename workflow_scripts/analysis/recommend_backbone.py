"""Rule recommend_backbone: predictions and records -> recommendation.csv."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.recommendation_table import recommendation_table
from robust_transfer.statistics.tables import write_table

if __name__ == "__main__":
    with recorded(snakemake):
        table = recommendation_table(
            snakemake.input.predictions,
            snakemake.input.records,
            **snakemake.params.settings,
        )
        write_table(snakemake.output.recommendation, table)
