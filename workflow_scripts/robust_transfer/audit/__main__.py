"""The audit of an unpacked bundle, without the workflow: `python -m robust_transfer.audit`.

In the folder where a bundle was unpacked, with the packages of envs/requirements.lock:

    PYTHONPATH=workflow_scripts python -m robust_transfer.audit
"""

import argparse
import sys
from pathlib import Path

from robust_transfer.audit.checks import FAIL, PASS, verdict
from robust_transfer.audit.plan import load_plan
from robust_transfer.audit.run import audit, write_audit
from robust_transfer.errors import DataError, UserError


def main() -> int:
    """Audit every study below the working directory that has a plan.

    Returns:
        Exit code: 1 when a check failed, 2 when there is nothing to audit.
    """
    parser = argparse.ArgumentParser(prog="python -m robust_transfer.audit", description=__doc__)
    parser.add_argument("folder", nargs="?", default=".", help="where the bundle was unpacked")
    root = Path(parser.parse_args().folder)
    try:
        plans = sorted(root.glob("results/*/audit/plan.json"))
        if not plans:
            raise DataError(f"{root}: no results/<study>/audit/plan.json: this is no bundle.")
        return max(_audit(root, path) for path in plans)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2


def _audit(root: Path, plan_at: Path) -> int:
    """Audit one study; write verdict and page beside its plan."""
    plan = load_plan(plan_at)
    found = audit(plan, root=root, code=root)
    page = plan_at.with_name("bundle_audit.html")
    write_audit(found, plan, verdict=page.with_suffix(".json"), page_to=page)
    for check in found:
        if check.status != PASS:
            print(f"{check.status} {check.name}: {check.subject}: {check.evidence}")
    print(f"{verdict(found)}, {len(found)} checks of study {plan.study}: {page}")
    return int(verdict(found) == FAIL)


if __name__ == "__main__":
    sys.exit(main())
