"""Colours of paper and ink, apart enough for a character to be seen."""

import numpy as np

CONTRAST = 0.06  # luma apart at least, where nothing else is said: some characters are hardly seen
_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
_TRIES = 16


def draw_paper(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draw mean colours of backgrounds: (count, 3) float32, in [0.2, 0.8]."""
    return rng.uniform(0.2, 0.8, (count, 3)).astype(np.float32)


def draw_ink(rng: np.random.Generator, paper: np.ndarray, contrast: float = CONTRAST) -> np.ndarray:
    """Draw a colour for each paper, apart from it in luma.

    Args:
        rng: source of randomness.
        paper: (count, 3) float32 in [0, 1].
        contrast: difference in luma between the two that is enough, in [0, 0.4]. Of sixteen colours
            the first that has it is taken, or else the farthest: at 0.3, one in eight.

    Returns:
        (count, 3) float32, in [0.05, 0.95].
    """
    candidates = rng.uniform(0.05, 0.95, (len(paper), _TRIES, 3)).astype(np.float32)
    # A sum by hand: a matrix product may differ in its last bit from library to library.
    apart = np.abs(((candidates - paper[:, None]) * _LUMA).sum(axis=-1))
    # The first that is far enough; the farthest, in the rare case that none is.
    enough = apart >= contrast
    chosen = np.where(enough.any(axis=1), enough.argmax(axis=1), apart.argmax(axis=1))
    return candidates[np.arange(len(paper)), chosen]
