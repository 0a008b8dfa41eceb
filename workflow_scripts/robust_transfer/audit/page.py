"""The audit as one page for a person: the verdict, what is wrong, then all that is right."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from robust_transfer.audit.checks import CHECKS, PASS


def page(record: dict[str, Any]) -> str:
    """Spell the audit's record as HTML that needs no other file.

    Args:
        record: as `as_record` gives it.
    """
    environment = Environment(
        loader=PackageLoader("robust_transfer", "audit"), trim_blocks=True, lstrip_blocks=True,
        autoescape=select_autoescape(["j2"]), undefined=StrictUndefined,
    )  # fmt: skip
    by_name = {
        name: [check for check in record["checks"] if check["name"] == name] for name in CHECKS
    }
    wrong = [check for check in record["checks"] if check["status"] != PASS]
    return environment.get_template("audit.html.j2").render(
        record=record, questions=CHECKS, by_name=by_name, wrong=wrong
    )
