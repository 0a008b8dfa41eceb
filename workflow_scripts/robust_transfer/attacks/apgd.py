"""Auto-PGD and the ensemble of its two losses: the evaluation of robustness."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from robust_transfer.attacks.batches import by_batches
from robust_transfer.attacks.climb import Ascent, climb
from robust_transfer.attacks.evaluate import as_floats
from robust_transfer.attacks.margins import likeliest_wrong, loss_of
from robust_transfer.attacks.surroundings import (
    attacked,
    check_labels,
    check_sizes,
    logits_without_graph,
    prepared,
)
from robust_transfer.attacks.threat import ThreatModel, threat_model

Run = tuple[str, int]  # loss, rank of the target among the wrong classes
Starts = Callable[[int, Tensor, Tensor], Tensor]  # number of run, rows, their images


class Robustness(NamedTuple):
    """The worst case of an ensemble of attacks.

    Attributes:
        robust: (n,) bool: right on the clean image, and no attack of the ensemble broke it. Its
            mean is the robust accuracy.
        images: (n, ...) the misclassified image that was found (the clean one where the model
            is wrong already), or for robust images the attempt of highest loss.
    """

    robust: Tensor
    images: Tensor


def apgd(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    loss: str = "ce",
    steps: int = 100,
    restarts: int = 1,
    max_targets: int = 9,
    generator: torch.Generator | None = None,
    check: bool = True,
) -> Tensor:
    """Perturb each image with Auto-PGD, which has no step size to choose.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (batch, ...) floats in [0, 1].
        labels: (batch,) int64 class indices.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1].
        loss: `ce` (APGD-CE) or `dlr-targeted` (APGD-T: a run for each of the likeliest wrong
            classes; with 2 or 3 classes on the difference of logits, see `targeted_dlr`).
        steps: of each run; a run takes steps + 1 gradients an image.
        restarts: runs, each from another random point of the ball; images that are
            misclassified already take no part in later runs.
        max_targets: wrong classes to aim at, at most; never more than classes - 1.
        generator: source of the random starts.
        check: look at the values of images and labels, which waits for a GPU.

    Returns:
        Perturbed images: misclassified where a run managed it, else of the highest loss found.

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: Croce and Hein 2020, arXiv:2003.01690.
    """
    check_sizes(epsilon=epsilon, steps=steps, restarts=restarts, max_targets=max_targets)
    threat = threat_model(norm)
    images, labels = prepared(images, labels, check=check)

    def starts(run: int, rows: Tensor, standing: Tensor) -> Tensor:
        return threat.start(standing, epsilon, generator)

    with attacked(model) as module:
        ranks = 1 if loss == "ce" else max_targets
        runs = [(loss, rank) for rank in range(ranks) for _ in range(restarts)]
        everything = torch.ones_like(labels, dtype=torch.bool)
        result = _worst_case(
            module, images, labels, everything, runs, starts, threat, epsilon, steps, until=False
        )
    return result.images


def evaluate_ensemble(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    *,
    norm: str,
    epsilon: float,
    steps: int = 100,
    restarts: int = 1,
    max_targets: int = 9,
    batch_size: int = 256,
    seed: int = 0,
) -> Robustness:
    """Measure which images withstand APGD-CE and then APGD-T, the first half of AutoAttack.

    Each run attacks the images that all runs before left standing. The random starts belong to
    the image and its place in `images`, so that the batch size does not change them.

    Args:
        model: maps (batch, ...) images in [0, 1] to (batch, class) logits.
        images: (n, ...) uint8, or floats in [0, 1]; on the model's device.
        labels: (n,) int64 class indices, same device.
        norm: `l2` or `linf`.
        epsilon: radius, in pixel units of images in [0, 1].
        steps: of each run.
        restarts: random starts for each loss and target.
        max_targets: wrong classes that APGD-T aims at, at most; never more than classes - 1.
        batch_size: images at a time; fewer where a GPU's memory is too small.
        seed: of the random starts.

    Returns:
        Worst-case correctness an image, and the images.

    Raises:
        ValueError: an argument is out of its range, or lengths differ.

    Source: Croce and Hein 2020, arXiv:2003.01690, section 6.
    """
    check_sizes(epsilon=epsilon, steps=steps, restarts=restarts, max_targets=max_targets)
    threat = threat_model(norm)
    ranks = [("ce", 0)] + [("dlr-targeted", rank) for rank in range(max_targets)]
    runs = [run for run in ranks for _ in range(restarts)]

    def ask(rows: slice) -> Robustness:
        x, y = prepared(as_floats(images[rows]), labels[rows], check=True)
        starts = _own_starts(threat, epsilon, seed, rows.start)
        with attacked(model) as module:
            right = logits_without_graph(module, x).argmax(1) == y
            return _worst_case(
                module, x, y, right, runs, starts, threat, epsilon, steps, until=True
            )

    results = by_batches(ask, len(images), batch_size)
    if not results:
        return Robustness(torch.zeros(0, dtype=torch.bool), as_floats(images))
    return Robustness(
        torch.cat([r.robust for r in results]), torch.cat([r.images for r in results])
    )


def _worst_case(
    model: nn.Module,
    images: Tensor,
    labels: Tensor,
    standing: Tensor,
    runs: list[Run],
    starts: Starts,
    threat: ThreatModel,
    epsilon: float,
    steps: int,
    *,
    until: bool,
) -> Robustness:
    """Run after run, attack what still stands."""
    logits = logits_without_graph(model, images)
    check_labels(labels, logits)
    targets = likeliest_wrong(logits, labels, logits.shape[1] - 1)
    outcome, standing = images.clone(), standing.clone()
    best = torch.full(labels.shape, -torch.inf, dtype=images.dtype, device=images.device)
    latest = None
    for number, (loss, rank) in enumerate(runs):
        rows = standing.nonzero().squeeze(1)
        if not len(rows) or rank >= targets.shape[1]:
            continue
        if loss != latest:  # losses of two kinds have no common scale
            best.fill_(-torch.inf)
            latest = loss
        ascent = Ascent(threat, epsilon, loss_of(loss), steps, until_fooled=until)
        start = starts(number, rows, images[rows])
        found, wrong, losses = climb(
            model, images[rows], labels[rows], targets[rows, rank], start, ascent
        )
        kept = wrong | (losses > best[rows])
        outcome[rows[kept]] = found[kept]
        best[rows[kept]] = losses[kept]
        standing[rows] = ~wrong
    return Robustness(standing, outcome)


def _own_starts(threat: ThreatModel, epsilon: float, seed: int, first: int) -> Starts:
    """Return starts that depend on seed, run and the image's place, not on its batch."""

    def start_of(number: int, row: int, image: Tensor) -> Tensor:
        # A CPU generator takes 32 bits of its seed: they must come from all three numbers.
        words = np.random.SeedSequence((seed, number, first + row)).generate_state(1)
        generator = torch.Generator().manual_seed(int(words[0]))
        return threat.start(image.unsqueeze(0), epsilon, generator)

    def starts(number: int, rows: Tensor, images: Tensor) -> Tensor:
        pairs = zip(rows.tolist(), images, strict=True)
        return torch.cat([start_of(number, row, image) for row, image in pairs])

    return starts
