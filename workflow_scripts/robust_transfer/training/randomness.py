"""Randomness that is a function of a seed, a purpose and a step, and of nothing else.

No generator state is carried from step to step, so a run that was killed and started again
draws what an undisturbed run would have drawn.
"""

import hashlib

import torch


def derived_seed(seed: int, purpose: str, step: int = 0) -> int:
    """Mix a seed with what it is for.

    Args:
        seed: the run's seed.
        purpose: a word, such as `order` or `augmentation`.
        step: epoch or optimiser step.

    Returns:
        An integer in [0, 2**63).
    """
    digest = hashlib.blake2b(f"{seed}|{purpose}|{step}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


def derived_generator(
    seed: int, purpose: str, step: int = 0, device: str | torch.device = "cpu"
) -> torch.Generator:
    """Return a generator on `device`, seeded by `derived_seed`."""
    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, step))
