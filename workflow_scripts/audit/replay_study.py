"""Rule replay_study: some jobs, run again beside the study -> what differs."""

from pathlib import Path

from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.plan import make_plan
from robust_transfer.audit.replay import draw_jobs, replay, write_replay
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        plan = make_plan(snakemake.params.plan)
        evidence = Evidence(plan, Path(), Path(snakemake.params.code_folder))
        jobs = draw_jobs(evidence, **snakemake.params.draw)
        found = replay(evidence, jobs, Path(snakemake.output.record).parent / "replay")
        write_replay(found, jobs, snakemake.output.record, plan.study)
