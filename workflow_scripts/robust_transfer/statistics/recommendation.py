"""Which backbone for a dataset, how sure that is, and what a wrong choice costs.

Two things could have come out differently: the replicates that were trained, and the images that
were tested on. The bootstrap draws both again. All candidates see the same drawn images, as they
were all scored on the same ones; that they find the same images hard then cancels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from robust_transfer.errors import DataError

#: Memory of the drawn image weights, in float64 numbers.
CHUNK = 20_000_000


@dataclass(frozen=True, eq=False)
class Candidate:
    """The runs of one candidate on one dataset.

    Attributes:
        pretrain_seeds: (runs,) which pretraining a run is of.
        right: (runs, images) 1.0 where the prediction is right, else 0.0; the columns are the
            same images for all candidates.
    """

    pretrain_seeds: np.ndarray
    right: np.ndarray


def image_weights(labels: np.ndarray, metric: str) -> np.ndarray:
    """Return what each image counts, with mean 1.

    Args:
        labels: (n,) classes.
        metric: `top1` or `mean_per_class`.
    """
    if metric == "top1":
        return np.ones(len(labels))
    counts = np.bincount(labels)
    return len(labels) / (counts[labels] * np.count_nonzero(counts))


def recommend(
    candidates: Mapping[str, Candidate],
    *,
    confidence: float,
    weights: np.ndarray | None = None,
    draws: int = 2_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Rank candidates by accuracy, with the probability that each is the best.

    A draw takes pretrainings with replacement, runs of each with replacement, and images with
    replacement. Where a candidate has a single pretraining, or a single run of it, that source of
    chance is not drawn, and `unit` says what was.

    Args:
        candidates: name -> its runs.
        confidence: of the intervals, by percentiles.
        weights: (images,) as `image_weights` gives them; None: all 1.
        draws: of the bootstrap.
        seed: of the draws.

    Returns:
        A row a candidate, the best first: `candidate`, `accuracy`, `ci_low`, `ci_high`,
        `probability_best` (they add up to 1; ties are shared), `regret` (what choosing it costs on
        average, against the best of the draw), `regret_high` (what it costs at most, in all but
        1 - confidence of the draws), `n` (runs) and `unit`.

    Raises:
        DataError: there are no candidates, or they were scored on different images.
    """
    names = list(candidates)
    if not names:
        raise DataError("A recommendation needs at least one candidate.")
    images = {candidate.right.shape[1] for candidate in candidates.values()}
    if len(images) > 1:
        raise DataError(f"Candidates were scored on different numbers of images: {sorted(images)}.")
    base = np.ones(images.pop()) if weights is None else np.asarray(weights, dtype=np.float64)
    drawn = _draw(list(candidates.values()), base, draws, np.random.default_rng(seed))
    best = drawn.max(axis=1, keepdims=True)
    winners = drawn >= best
    regret = best - drawn
    tail = (1 - confidence) / 2
    table = pd.DataFrame({
        "candidate": names,
        "accuracy": [_mean(candidate, base) for candidate in candidates.values()],
        "ci_low": np.quantile(drawn, tail, axis=0),
        "ci_high": np.quantile(drawn, 1 - tail, axis=0),
        "probability_best": (winners / winners.sum(axis=1, keepdims=True)).mean(axis=0),
        "regret": regret.mean(axis=0),
        "regret_high": np.quantile(regret, confidence, axis=0),
        "n": [len(candidate.right) for candidate in candidates.values()],
        "unit": [_unit(candidate) for candidate in candidates.values()],
    })  # fmt: skip
    order = table.assign(_fall=-table["accuracy"]).sort_values(["_fall", "candidate"]).index
    return table.loc[order].reset_index(drop=True)


def _mean(candidate: Candidate, base: np.ndarray) -> float:
    """Return the accuracy: every pretraining counts once."""
    scores = candidate.right @ base / base.sum()
    groups = _groups(candidate)
    return float(np.mean([scores[rows].mean() for rows in groups]))


def _groups(candidate: Candidate) -> list[np.ndarray]:
    """Return the rows of each pretraining."""
    seeds = np.asarray(candidate.pretrain_seeds)
    return [np.flatnonzero(seeds == seed) for seed in np.unique(seeds)]


def _unit(candidate: Candidate) -> str:
    """Name what the bootstrap drew, beside images."""
    groups = _groups(candidate)
    if len(groups) > 1:
        return "pretrain_seed"
    return "transfer_seed" if len(groups[0]) > 1 else "none"


def _draw(
    candidates: Sequence[Candidate], base: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Return (draws, candidates) accuracies."""
    right = np.concatenate([candidate.right for candidate in candidates]).astype(np.float64)
    shares = [_run_shares(candidate, draws, generator) for candidate in candidates]
    ends = np.cumsum([len(candidate.right) for candidate in candidates])
    drawn = np.empty((draws, len(candidates)))
    step = max(1, CHUNK // len(base))
    for start in range(0, draws, step):
        rows = slice(start, min(start + step, draws))
        size = rows.stop - rows.start
        counts = generator.multinomial(len(base), np.full(len(base), 1 / len(base)), size=size)
        weights = counts * base
        scores = weights @ right.T / weights.sum(axis=1, keepdims=True)
        for k, (end, share) in enumerate(zip(ends, shares, strict=True)):
            drawn[rows, k] = (scores[:, end - share.shape[1] : end] * share[rows]).sum(axis=1)
    return drawn


def _run_shares(candidate: Candidate, draws: int, generator: np.random.Generator) -> np.ndarray:
    """Return (draws, runs): what each run counts in each draw; rows add up to 1."""
    groups = _groups(candidate)
    shares = np.zeros((draws, len(candidate.right)))
    taken = generator.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), size=draws)
    for k, rows in enumerate(groups):
        # A pretraining that is taken twice draws its runs twice.
        times = taken[:, k] * len(rows)
        inside = generator.multinomial(times, np.full(len(rows), 1 / len(rows)))
        shares[:, rows] = inside / (len(groups) * len(rows))
    return shares
