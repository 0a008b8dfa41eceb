"""What a check says, and what all checks together amount to."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SCHEMA_VERSION = 1
PASS, WARN, FAIL = "PASS", "WARN", "FAIL"

#: The checks by name, in the order in which they are made, and the question that each answers.
CHECKS = {
    "completeness": "Is all there that the config asks for, and nothing else?",
    "records": "Has every file its record, and do the records of one job agree?",
    "integrity": "Is each file, byte for byte, the one that its record describes?",
    "custody": "Did each job read the very bytes that an earlier job wrote?",
    "currency": "Would today's code and config ask for the same thing?",
    "environment": "Was everything made by one set of locked packages, at one commit?",
    "data": "Are the images those of the source, and is no test image in training?",
    "selection": "Was nothing chosen on test images?",
    "replicates": "Is every seed a run of its own?",
    "weights": "Do the weights load, and answer as they did?",
    "statistics": "Does a second implementation get the same numbers from the predictions?",
    "tables": "Do tables and report come out the same when they are made again?",
    "claims": "Do the results bear out what is claimed of them?",
    "workflow": "Is nothing left to be done?",
}


@dataclass(frozen=True)
class Check:
    """The outcome of one check of one subject.

    Attributes:
        name: one of `CHECKS`.
        status: `PASS`, `WARN` or `FAIL`.
        subject: what was looked at: a file, a job, a table, a claim.
        evidence: what was found, in words and numbers.
        spoils: files that later checks do not judge, since this one has said all about them.
    """

    name: str
    status: str
    subject: str
    evidence: str
    spoils: tuple[str, ...] = ()


def verdict(checks: Iterable[Check]) -> str:
    """Return the worst status among checks; `PASS` for none."""
    found = {check.status for check in checks}
    return next((status for status in (FAIL, WARN) if status in found), PASS)


def as_record(checks: Iterable[Check], *, study: str) -> dict[str, Any]:
    """Return checks as the audit's record holds them."""
    checks = list(checks)
    counts = {
        name: {
            status: sum(c.name == name and c.status == status for c in checks)
            for status in (PASS, WARN, FAIL)
        }
        for name in CHECKS
    }
    kept = ("name", "status", "subject", "evidence")
    return {
        "schema_version": SCHEMA_VERSION,
        "study": study,
        "verdict": verdict(checks),
        "counts": counts,
        "checks": [{key: getattr(check, key) for key in kept} for check in checks],
    }
