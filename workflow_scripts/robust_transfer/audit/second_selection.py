"""The test of the validation-chosen epsilon, a second time."""

from collections import Counter
from statistics import fmean

from robust_transfer.audit.second_tests import (
    Row,
    grouped,
    means_by,
    places,
    tested,
    with_holm,
)


def selected_tests(rows: list[Row], confidence: float) -> list[Row]:
    """Let the other replicates' validation choose each replicate's epsilon, then test.

    Args:
        rows: of accuracy.csv, numbers as floats, empty cells as None.
        confidence: of the intervals.

    Returns:
        Rows with the columns of welch_selected.csv that are computed.
    """
    found = []
    for place, group in places(rows):
        robust = [row for row in group if row["epsilon"] > 0]
        standard = [row for row in group if row["epsilon"] == 0]
        epsilons = sorted({row["epsilon"] for row in robust})
        said: Row = {"candidates": _spelled(epsilons)}
        chosen, control, unit = _chosen(robust, standard, epsilons)
        if chosen is None:
            found.append(place | said | {"replicate": "none", "epsilon": None, "chosen": None})
            continue
        counts = Counter(epsilon for epsilon, _ in chosen)
        commonest = min(counts, key=lambda epsilon: (-counts[epsilon], epsilon))
        unit = unit if min(len(chosen), len(control)) > 1 else "none"
        said |= {
            "epsilon": commonest,
            "chosen": ";".join(f"{epsilon:g} x{counts[epsilon]}" for epsilon in sorted(counts)),
        }
        sample = [accuracy for _, accuracy in chosen]
        found.append(place | tested(sample, control, unit, confidence) | said)
    return with_holm(found)


def _spelled(epsilons: list[float]) -> str | float:
    """Spell candidates as the table does; a single one reads back as a number."""
    return epsilons[0] if len(epsilons) == 1 else ";".join(f"{one:g}" for one in epsilons)


Chosen = list[tuple[float, float]]  # (epsilon, test accuracy) of each replicate


def _chosen(
    robust: list[Row], standard: list[Row], epsilons: list[float]
) -> tuple[Chosen | None, list[float], str]:
    """Return the choice of each replicate, the standard values, and the unit of replication."""
    if not standard or any(row["validation_accuracy"] is None for row in robust):
        return None, [], "none"
    whole = _complete(robust, "pretrain_seed", epsilons)
    control = means_by(standard, "pretrain_seed")
    if min(len(whole), len(control)) >= 2:
        kept = [row for row in robust if row["pretrain_seed"] in whole]
        return _choices(kept, "pretrain_seed", epsilons), control, "pretrain_seed"
    if not whole:
        return None, [], "none"
    common = set(whole) & {row["pretrain_seed"] for row in standard}
    seeds = sorted(common or whole, key=str)
    own = {row["pretrain_seed"] for row in standard} - {None}
    other = seeds[0] if common else min(own, default=None)
    control = means_by([r for r in standard if r["pretrain_seed"] == other], "transfer_seed")
    kept = [row for row in robust if row["pretrain_seed"] == seeds[0]]
    seeds_too = _complete(kept, "transfer_seed", epsilons)
    kept = [row for row in kept if row["transfer_seed"] in seeds_too]
    return _choices(kept, "transfer_seed", epsilons), control, "transfer_seed"


def _complete(rows: list[Row], unit: str, epsilons: list[float]) -> list[float]:
    """Return the seeds of a unit that have every epsilon."""
    wanted = {row["epsilon"] for row in rows} if unit == "transfer_seed" else set(epsilons)
    groups = grouped(rows, [unit]).items()
    whole = [key[0] for key, group in groups if {row["epsilon"] for row in group} == wanted]
    return sorted(seed for seed in whole if seed is not None)


def _choices(rows: list[Row], unit: str, epsilons: list[float]) -> Chosen | None:
    """Return epsilon and test accuracy of each replicate, chosen by all others."""
    mean = {key: (fmean(row["validation_accuracy"] for row in group),
                  fmean(row["accuracy"] for row in group))
            for key, group in grouped(rows, [unit, "epsilon"]).items()}  # fmt: skip
    replicates = sorted({key[0] for key in mean})
    if len(replicates) < 2:
        return None
    chosen = []
    for one in replicates:
        others = {epsilon: fmean(mean[each, epsilon][0] for each in replicates if each != one)
                  for epsilon in epsilons}  # fmt: skip
        best = max(others.values())
        epsilon = min(e for e in epsilons if others[e] >= best - 1e-12)
        chosen.append((epsilon, mean[one, epsilon][1]))
    return chosen
