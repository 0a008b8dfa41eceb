"""Rule bundle_study: records, tables, report, config, lock and code -> one RO-Crate."""

from pathlib import Path

from robust_transfer.audit.bundle import write_bundle
from robust_transfer.audit.plan import load_plan
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        write_bundle(
            snakemake.output.crate,
            load_plan(snakemake.input.plan),
            audit_files=[snakemake.input.verdict, snakemake.input.page, snakemake.input.plan],
            root=Path(),
            code=Path(snakemake.params.code_folder),
            entry=snakemake.params.entry,
            language=snakemake.params.language,
        )
