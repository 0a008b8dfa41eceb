"""Many images in batches: smaller ones from where a GPU's memory is too small on."""

import sys
from collections.abc import Callable
from typing import TypeVar

import torch

from robust_transfer.errors import UserError

T = TypeVar("T")


class TooLittleMemoryError(UserError):
    """The GPU cannot hold even one image."""


def by_batches(ask: Callable[[slice], T], n: int, batch_size: int) -> list[T]:
    """Ask about all images, a batch after the other.

    Args:
        ask: from rows to what is asked of them; the answer for an image must not depend on its
            batch.
        n: images.
        batch_size: images at a time; halved, again if need be, where a GPU runs out of memory.

    Returns:
        The answers in order, one a batch.

    Raises:
        TooLittleMemoryError: one image at a time is too much.
    """
    answers: list[T] = []
    first = 0
    while first < n:
        try:
            answers.append(ask(slice(first, min(first + batch_size, n))))
        except torch.OutOfMemoryError as error:
            if batch_size == 1:
                raise TooLittleMemoryError(
                    "The GPU's memory does not hold one image in this network. Choose a smaller "
                    "image_size or architecture, or a GPU with more memory."
                ) from error
        else:
            first += batch_size
            continue
        batch_size = max(1, min(batch_size, n - first) // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        print(f"too little GPU memory: {batch_size} images at a time from here on",
              file=sys.stderr, flush=True)  # fmt: skip
    return answers
