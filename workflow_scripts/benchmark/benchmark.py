"""Rule benchmark: this machine -> speed and memory of training, ours and others'."""

from robust_transfer.benchmark.run import run_benchmark
from robust_transfer.records.job import recorded

if __name__ == "__main__":  # spawned worker processes import this file again
    with recorded(snakemake):
        run_benchmark(
            training=snakemake.output.training,
            left_out=snakemake.output.left_out,
            table=snakemake.output.table,
            threads=snakemake.threads,
        )
