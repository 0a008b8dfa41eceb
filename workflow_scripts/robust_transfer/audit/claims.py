"""Claims of a study, and what its results say of them."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, ValidationError

from robust_transfer.audit.checks import FAIL, PASS, WARN, Check
from robust_transfer.audit.evidence import Evidence, some
from robust_transfer.audit.statistics import Row, read_rows
from robust_transfer.config.values import NonNegative, Number, Section
from robust_transfer.errors import ConfigError, did_you_mean

#: Tables that a claim can be about, by the name of their output.
Table = Literal["accuracy", "welch", "selected", "pearson"]


class Claim(Section):
    """One claim: rows of a table, a quantity, and what it should be."""

    name: Annotated[str, Field(min_length=1, description="the claim, in words")]
    table: Table = Field(description="accuracy, welch, selected or pearson")
    where: dict[str, Any] = Field(description="which rows: column -> value; null: an empty cell")
    quantity: str = Field(description="a column of numbers; rows are averaged")
    at_least: Number | None = Field(default=None, description="the least that it may be")
    at_most: Number | None = Field(default=None, description="the most that it may be")
    equals: Number | None = Field(default=None, description="such as a published number")
    tolerance: NonNegative | None = Field(default=None, description="of `equals`")
    source: str | None = Field(default=None, description="where the claim is from")


class Claims(Section):
    """A file of claims."""

    claims: list[Claim]


def read_claims(path: Path) -> list[Claim]:
    """Read a file of claims.

    Raises:
        ConfigError: the file is missing or no list of claims; the first mistake is named.
    """
    try:
        read = Claims.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError:
        raise ConfigError(f"audit.claims: there is no file {path}.") from None
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not YAML: {error}") from None
    except ValidationError as errors:
        first = errors.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path}, {where}: {first['msg']}.") from None
    for claim in read.claims:
        bounds = [claim.at_least, claim.at_most, claim.equals]
        if all(bound is None for bound in bounds) or (claim.equals is None) != (
            claim.tolerance is None
        ):
            raise ConfigError(
                f"{path}, claim '{claim.name}': say at_least, at_most, or equals with a tolerance."
            )
    return read.claims


def claims(evidence: Evidence) -> Iterator[Check]:
    """Judge every claim of the study by its tables."""
    tables = {
        name: job.outputs[name][0]
        for name in ("accuracy", "welch", "selected", "pearson")
        for job in evidence.plan.with_output(name)
    }
    for path in evidence.plan.claims:
        for claim in read_claims(evidence.path(path)):
            table = tables.get(claim.table)
            if table is None:
                yield Check("claims", FAIL, claim.name, f"the study has no table {claim.table}")
            elif evidence.here(table):  # else its own check has said so
                yield judge(claim, read_rows(evidence.path(table)), table)


def judge(claim: Claim, rows: list[Row], table: str) -> Check:
    """Judge one claim.

    A bound on a difference or a correlation, which has an interval, is met for certain when the
    whole interval meets it (PASS), contradicted when none of it does (FAIL), and otherwise
    undecided (WARN). A bound on anything else is met or not.

    Args:
        claim: what is claimed.
        rows: of the table.
        table: its path, for the evidence.
    """
    columns = list(rows[0]) if rows else []
    unknown = [key for key in (*claim.where, claim.quantity) if rows and key not in columns]
    if unknown:
        hint = did_you_mean(unknown[0], columns)
        return Check("claims", FAIL, claim.name, f"{table} has no column '{unknown[0]}'.{hint}")
    found = [row for row in rows if all(_is(row[key], value) for key, value in claim.where.items())]
    values = [row[claim.quantity] for row in found if row[claim.quantity] is not None]
    if not values:
        chosen = some(f"{key} {value}" for key, value in claim.where.items())
        return Check("claims", FAIL, claim.name, f"{table} has no {claim.quantity} for {chosen}")
    value = fmean(values)
    has_interval = len(found) == 1 and claim.quantity in ("difference", "r")
    low, high = (found[0].get(end) if has_interval else value for end in ("ci_low", "ci_high"))
    low, high = (value if end is None else end for end in (low, high))
    status = min((_against(*bound) for bound in _bounds(claim, value, low, high)), key=_order)
    said = f"{claim.quantity} {value:.6g}"
    said += f" [{low:.6g}, {high:.6g}]" if has_interval else f" (mean of {len(values)} rows)"
    asked = some(f"{key} {getattr(claim, key):g}" for key in ("at_least", "at_most", "equals",
                 "tolerance") if getattr(claim, key) is not None)  # fmt: skip
    words = {PASS: "borne out", WARN: "undecided", FAIL: "contradicted"}[status]
    source = f"; claimed by {claim.source}" if claim.source else ""
    return Check("claims", status, claim.name, f"{words}: {said}, {asked}; {table}{source}")


def _is(found: Any, wanted: Any) -> bool:
    """Tell whether a cell is what a claim asks for: numbers as numbers, `8/255` too."""
    if isinstance(wanted, str) and isinstance(found, float):
        above, _, below = wanted.partition("/")
        try:
            wanted = float(above) / float(below or 1)
        except ValueError:
            return False
    if isinstance(wanted, int | float) and isinstance(found, str):
        return found == str(wanted)
    return found == wanted


Bound = tuple[float, float, float]  # margin of the value, and of the ends of its interval


def _bounds(claim: Claim, value: float, low: float, high: float) -> Iterator[Bound]:
    """Yield by how much each bound is met: by the value, at worst, and at best."""
    if claim.at_least is not None:
        least = claim.at_least
        yield value - least, low - least, high - least
    if claim.at_most is not None:
        most = claim.at_most
        yield most - value, most - high, most - low
    if claim.equals is not None and claim.tolerance is not None:
        margin = claim.tolerance - abs(value - claim.equals)
        yield margin, margin, margin


def _against(value: float, worst: float, best: float) -> str:
    """Judge a margin: rounding does not contradict."""
    if worst >= -1e-12:
        return PASS
    return FAIL if best < -1e-12 else WARN


def _order(status: str) -> int:
    return (FAIL, WARN, PASS).index(status)
