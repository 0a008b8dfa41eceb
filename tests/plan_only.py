"""Run Snakemake in this process up to its plan, and say what that is: a line of JSON, then exit.

python plan_only.py WORDS OF A SNAKEMAKE COMMAND

Listing every job takes a dry run a quarter of its time, and says nothing that a test would read.
"""

import json
import resource
import sys
import time
from collections import Counter

from snakemake import cli
from snakemake.dag import DAG

started = time.monotonic()


def told_stats(dag: DAG) -> object:
    jobs = list(dag.needrun_jobs())
    cluster = [job for job in jobs if job.rule.name not in dag.workflow._localrules]
    said = {
        "rules": Counter(job.rule.name for job in jobs),
        "jobs": len(cluster),
        "slurm_jobs": len({dag._group.get(job, job) for job in cluster}),  # a group counts once
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
        "seconds": time.monotonic() - started,
    }
    print(json.dumps(said), flush=True)
    sys.exit(0)


DAG.stats = told_stats
cli.main(sys.argv[1:])
