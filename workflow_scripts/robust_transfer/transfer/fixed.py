"""Fixed-feature transfer, protocol clean: a probe on features of the frozen backbone."""

import copy
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from robust_transfer.backbones.backbone import Backbone
from robust_transfer.transfer.features import Bank, Network, Source, feature_bytes
from robust_transfer.transfer.probe import MOST_ITERATIONS, Probes, fit_probes
from robust_transfer.transfer.probe_memory import BYTES, probe_bytes, room_for, samples_at_once
from robust_transfer.transfer.sample import PIECE, Sample
from robust_transfer.transfer.target import Outcome, Split, Target, frozen

#: How near the least loss a probe must be, as a share of it: to be chosen from, and in the end. Of
#: 105 choices of the demo 1e-4 made two otherwise than exact probes, 1e-5 none.
ROUGH, EXACT = 1e-5, 1e-7
HOLES = 1.06  # times what is asked for: what an allocator may leave between, measured


class Probing:
    """Features once; then the probes of all seeds and penalties, fitted together.

    A seed draws the labelled images, the validation split and the augmented views. The penalty is
    chosen on the validation split, the probe refitted on train and validation, the test split
    scored once. Where nothing can be held out (one labelled image a class) nothing is chosen: the
    probe takes the middle of the grid.

    Args:
        backbone: on the device; it is frozen: BatchNorm too uses the source's statistics.
        target: the dataset, on the same device.
        recipe: `penalties`, `augmented_views`, `augmentation` and `validation_fraction`.
        source: of the features; None: they are computed here.
    """

    def __init__(
        self,
        backbone: Backbone,
        target: Target,
        recipe: dict[str, Any],
        source: Source | None = None,
    ) -> None:
        self.backbone, self.target, self.recipe = frozen(backbone), target, recipe
        self.source = source or Network(backbone, target, recipe["augmentation"])
        self.penalties = sorted(recipe["penalties"], reverse=True)

    def outcomes(self, seeds: Sequence[int]) -> Iterator[Outcome]:
        """Fit, choose and score with every seed; yield what each gave, in their order."""
        began = time.monotonic()
        fraction, views = self.recipe["validation_fraction"], self.recipe["augmented_views"]
        splits = [self.target.split(fraction, seed) for seed in seeds]
        labelled = [split.labelled for split in splits]
        self._say_memory(labelled)
        bank = Bank(self.source, self.target.test_rows, labelled, seeds, views)
        for some in torch.arange(len(seeds)).split(self._at_once()):
            started = time.monotonic()
            draws = [self._draw(bank, splits[place], place) for place in some.tolist()]
            found = self._fit_and_score(draws)
            each = (time.monotonic() - started) / len(draws)
            for draw, outcome in zip(draws, found, strict=True):
                n = len(draw.split.labelled)
                alone = each + bank.seconds_of(len(draw.test) + n, n * views)
                yield replace(outcome, seconds_elsewhere=alone - (time.monotonic() - began))
                began = time.monotonic()

    def _at_once(self) -> int:
        """Return how many seeds are fitted at once."""
        return samples_at_once(self.source.width, self.target.classes, len(self.penalties))

    def _draw(self, bank: Bank, split: Split, place: int) -> "Draw":
        """Find the features of the images of one seed, and standardise them."""
        labelled = bank.places(split.labelled)
        mean, std = _standardisation(bank.values, labelled)

        def sample(rows: Tensor) -> Sample:
            places = bank.places_with_views(rows, place)
            labels = self.target.labels[rows].repeat(len(places) // len(rows))
            return Sample(bank.values, places, labels, mean, std)

        whole = sample(split.labelled)
        return Draw(
            split=split,
            train=sample(split.train) if len(split.held_out) else whole,
            all=whole,
            held_out=bank.places(split.held_out),
            test=bank.places(self.target.test_rows),
        )

    def _fit_and_score(self, draws: list["Draw"]) -> list[Outcome]:
        """Choose the penalty of each seed, fit its probe to all its images and score it."""
        n, most = len(draws[0].all), len(self.penalties)
        size = room_for(n, self.source.width, self.target.classes, most, len(draws))
        room = self.target.labels.new_empty(size, dtype=torch.float64)  # of both fits
        chosen, accuracies, start = self._choose(draws, room)
        penalties = torch.tensor(chosen, dtype=torch.float64).unsqueeze(1)
        samples = [draw.all for draw in draws]
        probes = self._fit(samples, penalties, room, gap=EXACT, start=start)
        return [
            self._outcome(probes, place, draw, penalty, accuracy)
            for place, (draw, penalty, accuracy) in enumerate(
                zip(draws, chosen, accuracies, strict=True)
            )
        ]

    def _choose(
        self, draws: list["Draw"], room: Tensor
    ) -> tuple[list[float], list[float] | list[None], Tensor | None]:
        """Return penalties, the validation accuracies that chose them, and their probes, if any."""
        if not all(len(draw.held_out) for draw in draws):
            middle = self.penalties[len(self.penalties) // 2]
            return [middle] * len(draws), [None] * len(draws), None
        penalties = torch.tensor(self.penalties, dtype=torch.float64)
        probes = self._fit([draw.train for draw in draws], penalties, room, gap=ROUGH)
        chosen, accuracies, start = [], [], []
        for place, draw in enumerate(draws):
            logits = probes.logits(place, draw.train, draw.held_out)
            scores = [self.target.score(row, draw.split.held_out) for row in logits]
            best = scores.index(max(scores))  # of equal scores, the strongest penalty
            chosen.append(self.penalties[best])
            accuracies.append(scores[best])
            start.append(probes.weight[place, best : best + 1])
        return chosen, accuracies, torch.stack(start)

    def _fit(
        self,
        samples: list[Sample],
        penalties: Tensor,
        room: Tensor,
        *,
        gap: float,
        start: Tensor | None = None,
    ) -> Probes:
        return fit_probes(
            samples,
            classes=self.target.classes,
            penalties=penalties,
            relative_gap=gap,
            start=start,
            room=room,
        )

    def _outcome(
        self, probes: Probes, place: int, draw: "Draw", penalty: float, accuracy: float | None
    ) -> Outcome:
        return Outcome(
            logits=probes.logits(place, draw.all, draw.test)[0],
            validation_accuracy=accuracy,
            selected=f"penalty={penalty:g}",
            selected_on="none" if accuracy is None else "validation",
            split=draw.split,
            images_through_network=len(draw.test) + len(draw.all),
            model=lambda: self._model(probes.weight[place, 0], draw.all),
            peak_memory_elsewhere=self.source.peak_memory_bytes,
            notes=(*_notes(draw.all.std), *_unfinished(probes, place, penalty)),
        )

    def _say_memory(self, labelled: list[Tensor]) -> None:
        """Say what features and probes need beside images and network, before they need it."""
        views, d = self.recipe["augmented_views"], self.source.width
        n, classes = max(map(len, labelled)), self.target.classes
        seeds, penalties = min(len(labelled), self._at_once()), len(self.penalties)
        n_test = len(self.target.test_rows)
        rows = n_test + self.target.n_train + views * sum(map(len, labelled))
        needed = feature_bytes(rows, d) + probe_bytes(n * (1 + views), d, classes, penalties, seeds)
        scores = BYTES * classes * (2 * penalties * n + 2 * len(labelled) * n_test)
        print(
            f"probes: {n * (1 + views)} images x {d} features x {classes} classes x {penalties} "
            f"penalties x {seeds} seeds: at most {HOLES * (needed + scores) / 2**20:.0f} MiB",
            file=sys.stderr,
        )

    def _model(self, weight: Tensor, sample: Sample) -> nn.Module:
        """Return the backbone with the probe, and the standardisation before it, as its head."""
        model = copy.deepcopy(self.backbone)
        model.replace_head(self.target.classes)
        scaled = weight[:-1] / sample.std.double().unsqueeze(1)
        bias = weight[-1] - (sample.mean.double() @ scaled)
        with torch.no_grad():
            model.head.weight.copy_(scaled.T)
            model.head.bias.copy_(bias)
        return frozen(model)


@dataclass(frozen=True, eq=False)
class Draw:
    """What one seed works on.

    Attributes:
        split: its labelled images.
        train: those that are trained on before the choice, with their views.
        all: all of them, with their views.
        held_out: where the features of the images that choose are.
        test: where those of the test images are.
    """

    split: Split
    train: Sample
    all: Sample
    held_out: Tensor
    test: Tensor


def _standardisation(features: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation a feature; a constant feature counts as 0 everywhere."""
    pieces = rows.split(PIECE)
    mean = torch.stack([features[some].double().sum(0) for some in pieces]).sum(0) / len(rows)
    apart = (features[some].double().sub_(mean).square_().sum(0) for some in pieces)
    mean, std = mean.float(), (torch.stack(list(apart)).sum(0) / len(rows)).sqrt().float()
    # A constant that float32 rounds has some spread; in a single image all are constant.
    return mean, torch.where(std > 1e-6 * mean.abs(), std, torch.inf)


def _notes(std: Tensor) -> tuple[str, ...]:
    """Say how many features are constant, if any."""
    constant = int(torch.isinf(std).sum())
    if constant == len(std):
        return ("all features are constant: the probe can only learn how frequent classes are",)
    return (f"{constant} of {len(std)} features are constant and count as 0",) if constant else ()


def _unfinished(probes: Probes, place: int, penalty: float) -> tuple[str, ...]:
    """Say that a probe stopped short of the loss that it was asked for, where it did."""
    if bool(probes.solved[place, 0]):
        return ()
    iterations = int(probes.iterations[place, 0])
    why = f": penalty {penalty:g} is very weak" if iterations == MOST_ITERATIONS else ""
    return (
        f"the probe stopped after {iterations} iterations, its loss not yet proven least "
        f"(gradient norm {float(probes.gradient_norm[place, 0]):.1g}){why}",
    )
