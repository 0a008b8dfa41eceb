"""Rule test_robust_against_standard: accuracies -> welch.csv and welch_selected.csv."""

import pandas as pd
from robust_transfer.records.job import recorded
from robust_transfer.statistics.detection import compared_rows
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.selected import selected_table
from robust_transfer.statistics.tables import read_table, write_table
from robust_transfer.statistics.welch import welch_table

if __name__ == "__main__":
    with recorded(snakemake):
        accuracy = main_rows(read_table(snakemake.input.accuracy))
        detectors = main_rows(compared_rows(read_table(snakemake.input.detection)))
        both = pd.concat([accuracy, detectors], ignore_index=True)
        settings = snakemake.params.settings
        write_table(snakemake.output.welch, welch_table(both, **settings))
        write_table(snakemake.output.selected, selected_table(accuracy, **settings))
