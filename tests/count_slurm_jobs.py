"""Run Snakemake in this process and say how many Slurm jobs it plans: groups count once.

python count_slurm_jobs.py WORDS OF A SNAKEMAKE COMMAND
"""

import resource
import sys
import time

from snakemake import cli
from snakemake.dag import DAG

started = time.monotonic()
stats_of_snakemake = DAG.stats


def counted_stats(dag: DAG) -> object:
    planned = [job for job in dag.needrun_jobs() if job.rule.name not in dag.workflow._localrules]
    groups = {dag._group.get(job, job) for job in planned}
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"slurm_jobs={len(groups)} jobs={len(planned)} memory_mb={memory}", flush=True)
    print(f"seconds={time.monotonic() - started:.1f}", flush=True)
    sys.exit(0)


DAG.stats = counted_stats
cli.main(sys.argv[1:])
