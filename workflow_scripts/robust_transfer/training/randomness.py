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


def seed_modules(seed: int, device: torch.device) -> None:
    """Seed what modules such as dropout draw from: the generators of the CPU and of the device.

    `torch.manual_seed` does so for every kind of device; where one is not there it queues the
    call with its stack trace, at each step of a training.

    Args:
        seed: as `derived_seed` gives it.
        device: that the modules are on.
    """
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)  # of the current GPU: each process has its own
