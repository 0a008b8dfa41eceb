"""Two files that should be one result: equal bytes, equal but for clocks, or how far apart."""

import csv
import filecmp
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.audit.evidence import arrays, differences, some
from robust_transfer.audit.volatile import VOLATILE, steady

#: What a run on a GPU may differ by from its repetition. Training is chaotic: weights drift apart,
#: what they amount to does not. Accuracies: 2 points; classes predicted: 1 image in 20; weights:
#: a tenth of their norm.
ACCURACY, CLASSES, NORM = 0.02, 0.05, 0.1


@dataclass(frozen=True)
class Difference:
    """How far two files are apart.

    Attributes:
        same: bit for bit, but for `VOLATILE`.
        near: within the tolerance for runs on a GPU.
        words: the difference, in words and numbers.
    """

    same: bool
    near: bool
    words: str


SAME = Difference(True, True, "identical bytes")
STEADY = Difference(True, True, f"identical but for {', '.join(sorted(VOLATILE))}")


def compare_files(then: Path, now: Path) -> Difference:
    """Compare a file of the study with the one that was made again.

    Args:
        then: of the study.
        now: made again.
    """
    if not now.is_file():
        return Difference(False, False, "was not made")
    if filecmp.cmp(then, now, shallow=False):
        return SAME
    compare = BY_SUFFIX.get(then.suffix)
    return compare(then, now) if compare else Difference(False, False, "other bytes")


def _json(then: Path, now: Path) -> Difference:
    one, other = (steady(json.loads(path.read_text(encoding="utf-8"))) for path in (then, now))
    return _values(one, other)


def _csv(then: Path, now: Path) -> Difference:
    tables = []
    for path in (then, now):
        with path.open(encoding="utf-8", newline="") as stream:
            tables.append({str(place): steady(row)
                           for place, row in enumerate(csv.DictReader(stream))})  # fmt: skip
    return _values(*tables)


def _values(one: Any, other: Any) -> Difference:
    """Compare nested values; near: the same words, and numbers within `ACCURACY`."""
    apart = list(differences(one, other))
    if not apart:
        return STEADY
    gaps = list(_gaps(one, other))
    largest = max(gaps, default=0.0)
    words = f"largest difference of a number {largest:.3g}: {some(apart, at_most=4)}"
    return Difference(False, math.isfinite(largest) and largest <= ACCURACY, words)


def _gaps(one: Any, other: Any) -> Iterator[float]:
    """Yield the difference of each pair of numbers; infinity for what else differs.

    Digests are left out: the files that they are of are compared themselves.
    """
    if isinstance(one, dict) and isinstance(other, dict):
        for key in (one.keys() | other.keys()) - {"sha256"}:
            yield from _gaps(one.get(key), other.get(key))
    elif isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        for pair in zip(one, other, strict=True):
            yield from _gaps(*pair)
    elif one != other:
        try:
            yield abs(float(one) - float(other))
        except (TypeError, ValueError):
            yield math.inf


def _npy(then: Path, now: Path) -> Difference:
    one, other = (np.load(path, mmap_mode="r", allow_pickle=False) for path in (then, now))
    return _arrays({"array": one}, {"array": other})


def _npz(then: Path, now: Path) -> Difference:
    one, other = arrays(then), arrays(now)
    found = _arrays(one, other)
    if found.same or "logits" not in one or one["logits"].shape != other["logits"].shape:
        return found
    apart = float((one["logits"].argmax(1) != other["logits"].argmax(1)).mean())
    words = f"{found.words}; {apart:.2%} of images get another class"
    return Difference(False, apart <= CLASSES, words)


def _safetensors(then: Path, now: Path) -> Difference:
    from safetensors import safe_open

    told, states = [], []
    for path in (then, now):
        with safe_open(str(path), framework="np") as file:
            recipe = json.loads((file.metadata() or {}).get("recipe", "{}"))
            told.append(steady(recipe))
            states.append({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    found = _arrays(*states)
    if told[0] == told[1]:
        return found
    return Difference(False, False, f"{some(differences(*told))}; {found.words}")


def _arrays(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> Difference:
    """Compare named arrays: bit for bit, or by the largest difference and the norm of all."""
    if {k: v.shape for k, v in one.items()} != {k: v.shape for k, v in other.items()}:
        return Difference(False, False, "other arrays")
    largest, square, total = 0.0, 0.0, 0.0
    different = [name for name in one if one[name].tobytes() != other[name].tobytes()]
    for name in different:
        if not np.issubdtype(one[name].dtype, np.number):
            return Difference(False, False, f"{name} differs")
    for name in one:
        if np.issubdtype(one[name].dtype, np.number):
            a, b = one[name].astype(np.float64), other[name].astype(np.float64)
            largest = max(largest, float(np.abs(a - b).max(initial=0)))
            square += float(((a - b) ** 2).sum())
            total += float((a**2).sum())
    if not different:
        return STEADY
    relative = math.sqrt(square / total) if total else math.inf
    words = f"{some(different)} differ, by {largest:.3g} at most, {relative:.2%} of the norm"
    return Difference(False, relative <= NORM, words)


BY_SUFFIX: dict[str, Callable[[Path, Path], Difference]] = {
    ".json": _json, ".csv": _csv, ".npy": _npy, ".npz": _npz, ".safetensors": _safetensors,
}  # fmt: skip
