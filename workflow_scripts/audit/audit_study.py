"""Rule audit_study: what should be there, and what is -> verdict, page and plan."""

from robust_transfer.audit.plan import make_plan, save_plan
from robust_transfer.audit.run import audit, write_audit
from robust_transfer.audit.workflow import Question
from robust_transfer.records.job import recorded

if __name__ == "__main__":
    with recorded(snakemake):
        plan = make_plan(snakemake.params.plan)
        save_plan(snakemake.output.plan, plan)
        found = audit(
            plan,
            code=snakemake.params.code_folder,
            threads=snakemake.threads,
            question=Question(**snakemake.params.question),
        )
        write_audit(found, plan, verdict=snakemake.output.verdict, page_to=snakemake.output.page)
