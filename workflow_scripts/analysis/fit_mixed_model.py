"""Rule fit_mixed_model: accuracy.csv -> effects, diagnostics and residuals of mixed models."""

from robust_transfer.records.job import recorded
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.mixed_table import mixed_tables
from robust_transfer.statistics.tables import read_table, write_table

if __name__ == "__main__":
    with recorded(snakemake):
        effects, diagnostics, residuals = mixed_tables(
            main_rows(read_table(snakemake.input.accuracy)),
            read_table(snakemake.input.granularity),
            **snakemake.params.settings,
        )
        write_table(snakemake.output.effects, effects)
        write_table(snakemake.output.diagnostics, diagnostics)
        write_table(snakemake.output.residuals, residuals)
