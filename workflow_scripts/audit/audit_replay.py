"""Rule audit_replay: replay.json -> exit code, and a note of passing."""

from robust_transfer.audit.run import require_pass
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        require_pass(snakemake.input.record, snakemake.input.record, note=snakemake.output.note)
