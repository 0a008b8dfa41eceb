"""Splits that keep the proportions of the classes, deterministic from a seed."""

import numpy as np


def split_validation(
    labels: np.ndarray, *, fraction: float, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Hold out a share of the images, class by class.

    Every class gives its share to within one image, and the shares add up to `fraction` of all
    where that can be. A class always keeps one image to train on, so a class with a single
    image gives none; something is held out as soon as one class has two images.

    Args:
        labels: (n,) integer class of each image.
        fraction: share to hold out, in [0, 1).
        seed: of the draw.

    Returns:
        Positions to train on and positions held out: sorted int64, disjoint, together all.

    Raises:
        ValueError: `fraction` outside [0, 1).
    """
    if not 0 <= fraction < 1:
        raise ValueError(f"fraction is {fraction}, expected a share in [0, 1).")
    labels = np.asarray(labels)
    rng = np.random.default_rng(seed)
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    wanted = round(fraction * len(labels))
    if fraction > 0 and (counts > 1).any():
        wanted = max(1, wanted)
    quota = _apportion(counts * fraction, counts - 1, wanted, rng)
    held_out = _draw(members, quota, rng)
    train = np.setdiff1d(np.arange(len(labels)), held_out, assume_unique=True)
    return train, held_out


def draw_stratified(labels: np.ndarray, *, at_most: int, seed: int) -> np.ndarray:
    """Draw a number of images, in the proportions of the classes.

    Every class is drawn at least once where `at_most` allows one image a class.

    Args:
        labels: (n,) integer class of each image.
        at_most: how many to draw; all are returned when there are no more.
        seed: of the draw.

    Returns:
        Sorted positions: int64.
    """
    labels = np.asarray(labels)
    if len(labels) <= at_most:
        return np.arange(len(labels))
    rng = np.random.default_rng(seed)
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    # One image a class first, where there is room; the rest in proportion to what is left.
    floor = np.full(len(counts), int(at_most >= len(counts)))
    rest = at_most - floor.sum()
    share = (counts - floor) * (rest / (counts - floor).sum())
    quota = floor + _apportion(share, counts - floor, rest, rng)
    return _draw(members, quota, rng)


def draw_per_class(labels: np.ndarray, *, per_class: int, seed: int) -> np.ndarray:
    """Draw so many images of each class; a smaller draw with the same seed is part of a larger.

    A class with fewer images gives all that it has.

    Args:
        labels: (n,) integer class of each image.
        per_class: images of each class, at least 1.
        seed: of the draw.

    Returns:
        Sorted positions: int64.
    """
    _, members, counts = np.unique(labels, return_inverse=True, return_counts=True)
    return _draw(members, np.minimum(counts, per_class), np.random.default_rng(seed))


def attacked_rows(labels: np.ndarray, wanted: int | str) -> np.ndarray:
    """Choose the test images that are attacked: the same for every model, in all classes.

    Not the first ones: in many datasets these are of a few classes.

    Args:
        labels: (n,) integer class of each test image.
        wanted: how many, or `all`.

    Returns:
        Sorted positions: int64.
    """
    at_most = len(labels) if isinstance(wanted, str) else wanted
    return draw_stratified(labels, at_most=at_most, seed=0)


def _apportion(
    share: np.ndarray, limit: np.ndarray, total: int, rng: np.random.Generator
) -> np.ndarray:
    """Round shares to whole numbers that add up to `total`: the largest remainders go up.

    Equal remainders are ordered by chance, and no number exceeds its limit.
    """
    whole = np.minimum(np.floor(share + 1e-9).astype(np.int64), limit)
    remainder = np.where(whole < limit, share - whole, -np.inf)
    chance = rng.permutation(len(share))
    order = chance[np.argsort(-remainder[chance].round(9), kind="stable")]
    missing = max(0, min(total - int(whole.sum()), int((whole < limit).sum())))
    whole[order[:missing]] += 1
    return whole


def _draw(members: np.ndarray, quota: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw `quota[c]` positions of each class c, sorted."""
    shuffled = rng.permutation(len(members))
    by_class = shuffled[np.argsort(members[shuffled], kind="stable")]
    counts = np.bincount(members, minlength=len(quota))
    first = np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64)
    rank = np.arange(len(members)) - np.repeat(first, counts)
    return np.sort(by_class[rank < np.repeat(quota, counts)])
