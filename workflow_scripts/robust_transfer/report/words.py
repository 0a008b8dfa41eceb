"""How the report spells numbers, datasets and units."""

import math
from collections.abc import Collection, Sequence
from typing import Any

from robust_transfer.figures.cells import UNITS, epsilon_text
from robust_transfer.figures.identities import NORMS
from robust_transfer.figures.small_multiples import dataset_text, mode_text

DASH = "\N{EN DASH}"


def number(value: Any, digits: int = 1, *, sign: bool = False) -> str:
    """Spell a number with a true minus sign; a missing one as a dash.

    Args:
        value: anything that float takes.
        digits: after the point.
        sign: whether to write the plus.
    """
    if not math.isfinite(float(value)):
        return DASH
    text = f"{float(value):{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


def interval(low: Any, high: Any, digits: int = 1, *, scale: float = 1) -> str:
    """Spell an interval as "0.4 to 1.8"; a missing one as "none"."""
    if not (math.isfinite(float(low)) and math.isfinite(float(high))):
        return "none"
    return f"{number(scale * low, digits)} to {number(scale * high, digits)}"


def p_text(value: Any) -> str:
    """Spell a p value: three digits, and "< 0.001" below that."""
    if not math.isfinite(float(value)):
        return DASH
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def count(value: Any) -> str:
    """Spell a whole number; a missing one as a dash."""
    return f"{float(value):.0f}" if math.isfinite(float(value)) else DASH


def resolution_text(resolution: Any) -> str:
    """Spell a resolution: native, or "32x32"."""
    text = str(resolution)
    return f"{text}\N{MULTIPLICATION SIGN}{text}" if text.isdigit() else text.replace("nan", DASH)


def chosen_epsilons(row: Any) -> list[float]:
    """Return the epsilons that validation chose, over replicates; none for a fixed epsilon.

    Args:
        row: a comparison; its `chosen` is such as "0.25 x2;0.5 x1".
    """
    text = getattr(row, "chosen", None)
    if not isinstance(text, str):
        return []
    return [float(part.split()[0]) for part in text.split(";") if part.strip()]


def backbone_text(epsilon: float, norm: Any, chosen: Sequence[float] = ()) -> str:
    """Spell a robust backbone: "robust (L2 epsilon 0.25)", or all epsilons that were chosen."""
    texts = [epsilon_text(one, norm) for one in chosen or [epsilon]]
    return f"robust ({NORMS.get(str(norm), norm)} epsilon {' or '.join(texts)})"


def place_text(dataset: str, resolution: Any, mode: str, toy: Collection[str]) -> str:
    """Spell where a comparison was made: "greek (toy) at 32x32 under fixed features"."""
    size = "" if str(resolution) in ("native", "nan") else f" at {resolution_text(resolution)}"
    how = {"fixed": "under fixed features", "full": "with the full network trained"}
    return f"{dataset_text(dataset, toy)}{size} {how.get(mode, f'under {mode_text(mode)}')}"


def replicates_text(n_robust: Any, n_standard: Any, unit: Any) -> str:
    """Spell what was counted: "n = 2 pretrainings each"."""
    word = UNITS.get(str(unit), str(unit))
    if str(unit) == "none":
        word = "replicates"
    if float(n_robust) == float(n_standard):
        singular = word.removesuffix("s") if float(n_robust) == 1 else word
        return f"n = {count(n_robust)} {singular} each"
    return f"n = {count(n_robust)} against {count(n_standard)} {word}"
