"""Fixed-feature transfer, protocol clean: a probe on features of the frozen backbone."""

import copy
import sys
import time
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.errors import DataError
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.evaluation import BATCH, logits_of
from robust_transfer.training.randomness import derived_generator
from robust_transfer.transfer.probe import MOST_ITERATIONS, Probes, fit_probes, probe_bytes
from robust_transfer.transfer.target import BROKEN, Outcome, Split, Target, frozen

#: How near the least loss a probe must be, as a share of it: to be chosen from, and in the end.
ROUGH, EXACT = 1e-4, 1e-7


class Probing:
    """Features computed once; then a probe for each seed.

    A seed draws the labelled images, the validation split and the augmented views. The penalty is
    chosen on the validation split, the probe refitted on train and validation, the test split
    scored once. Where nothing can be held out (one labelled image a class) nothing is chosen: the
    probe takes the middle of the grid.

    Args:
        backbone: on the device; it is frozen: BatchNorm too uses the source's statistics.
        target: the dataset, on the same device.
        recipe: `penalties`, `augmented_views`, `augmentation` and `validation_fraction`.
    """

    def __init__(self, backbone: Backbone, target: Target, recipe: dict[str, Any]) -> None:
        self.backbone, self.target, self.recipe = frozen(backbone), target, recipe
        self.features = torch.zeros(
            len(target.images), backbone.feature_dim, device=target.images.device
        )
        self.known = torch.zeros(len(target.images), dtype=torch.bool, device=target.images.device)
        self.said_bytes = 0
        self.learning = Learning()

    def seed(self, seed: int) -> Outcome:
        """Fit, choose and score with one seed."""
        target, n = self.target, self.target.n_train
        before = self.learning.seconds
        self._learn(torch.arange(n, len(target.images), device=self.known.device))
        split = target.split(self.recipe["validation_fraction"], seed)
        labelled = split.labelled
        self._learn(labelled)
        alone = self.learning.seconds_of(len(target.test) + len(labelled))
        elsewhere = alone - (self.learning.seconds - before)
        views = self._views(labelled, seed)
        mean, std = _standardisation(self.features[labelled])
        penalty, accuracy, start = self._choose(split, views, mean, std)
        probes = self._fit(labelled, views, [penalty], mean, std, start)
        return Outcome(
            logits=probes.logits((self.features[n:] - mean) / std)[0],
            validation_accuracy=accuracy,
            selected=f"penalty={penalty:g}",
            selected_on="none" if accuracy is None else "validation",
            split=split,
            images_through_network=len(target.test) + len(labelled) * (1 + len(views)),
            model=lambda: self._model(probes, mean, std),
            seconds_elsewhere=elsewhere,
            notes=(*_notes(std), *_unfinished(probes, penalty)),
        )

    def _learn(self, rows: Tensor) -> None:
        """Compute the features of rows whose features are not known yet."""
        new = rows[~self.known[rows]]
        if len(new):
            started = time.monotonic()
            self.features[new] = logits_of(Features(self.backbone), self.target.images[new])
            self.known[new] = True
            if not bool(torch.isfinite(self.features[new]).all()):
                raise DataError(BROKEN)
            self.learning.add(len(new), time.monotonic() - started)

    def _choose(
        self, split: Split, views: list[Tensor], mean: Tensor, std: Tensor
    ) -> tuple[float, float | None, Tensor | None]:
        """Return the penalty, the validation accuracy that chose it and the probe, if any did."""
        penalties = sorted(self.recipe["penalties"], reverse=True)
        if not len(split.held_out):
            return penalties[len(penalties) // 2], None, None
        probes = self._fit(split.train, views, penalties, mean, std, gap=ROUGH)
        logits = probes.logits((self.features[split.held_out] - mean) / std)
        scores = [self.target.score(row, split.held_out) for row in logits]
        best = scores.index(max(scores))  # of equal scores, the strongest penalty
        return penalties[best], scores[best], probes.weight[best : best + 1]

    def _views(self, rows: Tensor, seed: int) -> list[Tensor]:
        """Return the features of augmented copies of some training images, in the place of each."""
        augment = augmentation(self.recipe["augmentation"])
        network = Features(self.backbone)
        views = []
        for view in range(self.recipe["augmented_views"]):
            generator = derived_generator(seed, "views", view)
            with torch.inference_mode():
                batches = [
                    network(augment(self.target.images[some], generator))
                    for some in rows.split(BATCH)
                ]
            features = torch.zeros_like(self.features[: self.target.n_train])
            features[rows] = torch.cat(batches).float()
            views.append(features)
        return views

    def _fit(
        self,
        rows: Tensor,
        views: list[Tensor],
        penalties: list[float],
        mean: Tensor,
        std: Tensor,
        start: Tensor | None = None,
        gap: float = EXACT,
    ) -> Probes:
        sources = [self.features, *views]
        self._say_memory(len(rows) * len(sources), len(penalties))
        known = self.features.new_empty(len(sources), len(rows), self.features.shape[1])
        for place, features in zip(known, sources, strict=True):  # one copy of them, no second
            torch.index_select(features, 0, rows, out=place)
        return fit_probes(
            known.flatten(0, 1).sub_(mean).div_(std),
            self.target.labels[rows].repeat(len(sources)),
            classes=self.target.classes,
            penalties=torch.tensor(penalties, dtype=torch.float64),
            start=start,
            relative_gap=gap,
        )

    def _say_memory(self, n: int, penalties: int) -> None:
        """Say what the largest fit so far needs, before it needs it."""
        width, classes = self.features.shape[1], self.target.classes
        needed = probe_bytes(n, width, classes, penalties) + n * width * self.features.itemsize
        if needed > self.said_bytes:
            self.said_bytes = needed
            print(
                f"probe: {n} images x {width} features x {classes} classes x {penalties} penalties:"
                f" {needed / 2**20:.0f} MiB",
                file=sys.stderr,
            )

    def _model(self, probes: Probes, mean: Tensor, std: Tensor) -> nn.Module:
        """Return the backbone with the probe, and the standardisation before it, as its head."""
        model = copy.deepcopy(self.backbone)
        model.replace_head(self.target.classes)
        weight = probes.weight[0, :-1] / std.double().unsqueeze(1)
        bias = probes.weight[0, -1] - (mean.double() @ weight)
        with torch.no_grad():
            model.head.weight.copy_(weight.T)
            model.head.bias.copy_(bias)
        return frozen(model)


@dataclass
class Learning:
    """What computing features took: each image once, whichever seed asks for it first."""

    images: int = 0
    seconds: float = 0.0

    def add(self, images: int, seconds: float) -> None:
        """Count images and the seconds that they took."""
        self.images, self.seconds = self.images + images, self.seconds + seconds

    def seconds_of(self, images: int) -> float:
        """Return what so many images take on average."""
        return self.seconds * images / self.images


class Features(torch.nn.Module):
    """The backbone without its head.

    Args:
        backbone: whose features are taken.
    """

    def __init__(self, backbone: Backbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, images: Tensor) -> Tensor:
        """Return the (n, d) features of images in [0, 1]."""
        return self.backbone.features(images)


def _standardisation(features: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation a feature; a constant feature counts as 0 everywhere."""
    mean, std = features.mean(0), features.std(0, correction=0)
    # A constant that float32 rounds has some spread; in a single image all are constant.
    return mean, torch.where(std > 1e-6 * mean.abs(), std, torch.inf)


def _notes(std: Tensor) -> tuple[str, ...]:
    """Say how many features are constant, if any."""
    constant = int(torch.isinf(std).sum())
    if constant == len(std):
        return ("all features are constant: the probe can only learn how frequent classes are",)
    return (f"{constant} of {len(std)} features are constant and count as 0",) if constant else ()


def _unfinished(probes: Probes, penalty: float) -> tuple[str, ...]:
    """Say that a probe stopped short of the loss that it was asked for, where it did."""
    if probes.iterations < MOST_ITERATIONS:
        return ()
    return (
        f"the probe stopped after {probes.iterations} iterations, its loss not yet proven least "
        f"(gradient norm {float(probes.gradient_norm[0]):.1g}): penalty {penalty:g} is very weak",
    )
