"""Training a detector: SGD with the field's schedule; resumable to the bit on a CPU."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from robust_transfer.detection.batches import SceneReader, Scenes, flips, scene_batches
from robust_transfer.detection.detector import Detector
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.scenes.cache import SceneCache
from robust_transfer.training.device import half_precision
from robust_transfer.training.divergence import Watch
from robust_transfer.training.loop import batch_at, mean_losses, run_steps, said, size_of_batch
from robust_transfer.training.parts import LossOfRows, Parts
from robust_transfer.training.processes import ALONE, Processes
from robust_transfer.training.randomness import derived_seed, seed_modules
from robust_transfer.training.run import Run, resume_run, save_run
from robust_transfer.training.schedules import stepped_rate
from robust_transfer.training.sgd import Sgd

ROWS = 20  # of the history of a run
REFERENCE_BATCH = 16  # images for which a recipe's learning rate is meant


@dataclass(frozen=True)
class DetectorRecipe:
    """How to train a detector: `detect.recipe` of the config.

    Attributes:
        steps: optimiser steps in all.
        batch_size: images a step, all devices together.
        learning_rate: highest, for 16 images a step; for others in proportion (Goyal et al. 2017,
            arXiv:1706.02677, section 2.1).
        warmup_steps: in which it rises.
        decay_at: shares of the run after each of which it is a tenth.
        momentum: of SGD.
        weight_decay: L2, on all weights.
        gradient_clip: largest L2 norm of the gradient; 0: any.
        flip: whether half of the scenes are mirrored.
        label: what a progress line says.
    """

    steps: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    decay_at: list[float]
    momentum: float
    weight_decay: float
    gradient_clip: float
    flip: bool
    label: str = "train a detector"

    @property
    def every(self) -> int:
        """Steps between rows of the history."""
        return max(1, self.steps // ROWS)

    def rate(self, step: int, batch_size: int) -> float:
        """Return the learning rate of one step."""
        peak = self.learning_rate * batch_size / REFERENCE_BATCH
        return stepped_rate(
            step,
            self.steps,
            peak=peak,
            warmup_steps=self.warmup_steps,
            decay_at=self.decay_at,
        )


def train_detector(
    detector: Detector,
    cache: SceneCache,
    positions: np.ndarray,
    recipe: dict[str, Any],
    *,
    seed: int,
    state_path: Path,
    device: torch.device,
    question: str = "",
    label: str = "train a detector",
    after_step: Callable[[int], None] | None = None,
    processes: Processes = ALONE,
) -> list[dict[str, Any]]:
    """Train a detector in place; it ends on the device, in eval mode.

    Args:
        detector: as `build_detector` made it.
        cache: the dataset. Scenes without an object stay; crowds and difficult objects do not.
        positions: of the training images in the cache.
        recipe: see `DetectorRecipe`.
        seed: of order, flips, sizes and the sampling of anchors and regions.
        state_path: where the state is kept until the run has ended; the caller removes it.
        device: to train on.
        question: what else a state must answer to, such as a digest of the code.
        label: what a progress line says.
        after_step: called with the number of steps done (a test stops the run here).
        processes: that train together, of which this is one; the first writes the state.

    Returns:
        The history: rows of `step`, mean `train_loss` and its parts, `learning_rate`, `seconds`.

    Raises:
        DataError, ConfigError: there is no training image, or no mask to learn from.
        TrainingDivergedError: the loss is not finite; the last good state stays.
    """
    _check(detector, cache, positions)
    plan = DetectorRecipe(**recipe, label=label)
    identity = _identity(detector, cache, positions, plan, f"{question}|{seed}")
    batch_size = size_of_batch(plan, len(positions), processes)
    detector.to(device)
    optimiser = Sgd(detector.parameters(), momentum=plan.momentum, weight_decay=plan.weight_decay)
    run = Run({}, torch.zeros(len(detector.loss_names), device=device))
    resume_run(run, detector, optimiser, identity, state_path)
    shares = _shares(positions, batch_size, run.step, plan, seed, processes)
    batches = _batches(cache, detector, shares, device)
    run_steps(
        run,
        Watch(run, optimiser.parameters, label),
        said(batches, run.step, plan, processes),
        DetectionStep(detector, plan, optimiser, batch_size, seed, processes),
        lambda: _record(run, plan, detector.loss_names, batch_size),
        every=plan.every,
        steps=plan.steps,
        save=lambda: save_run(run, detector, optimiser, identity, state_path),
        after_step=after_step,
        processes=processes,
    )
    detector.eval()
    return run.history


def _batches(
    cache: SceneCache,
    detector: Detector,
    shares: Iterator[tuple[np.ndarray, np.ndarray]],
    device: torch.device,
) -> Iterator[Scenes]:
    """Yield the scenes of each share; beside a GPU, other processes read them ahead of time."""
    workers = torch.get_num_threads() if device.type == "cuda" else 0
    return scene_batches(SceneReader(cache, detector.masks), shares, workers=workers, device=device)


def _record(run: Run, recipe: DetectorRecipe, names: Sequence[str], batch_size: int) -> None:
    """Add a row to the history."""
    losses = mean_losses(run, recipe.every)
    parts = {"train_loss": sum(losses)} | dict(zip(names, losses, strict=True))
    rate = recipe.rate(run.step - 1, batch_size)
    row = {"step": run.step, **parts, "learning_rate": rate}
    run.history.append(row | {"seconds": round(run.seconds, 3)})


class DetectionStep:
    """Takes the steps of one run.

    Where a GPU runs out of memory a share is taken in parts. Trained BatchNorm then normalises by
    part, and losses are means of a part, as on several GPUs: docs/detection.md says what changes.

    Args:
        detector: trained in place.
        recipe: how.
        optimiser: of the detector's weights.
        batch_size: images of a whole batch.
        seed: of the sampling of sizes, anchors and regions.
        processes: that train together, of which this is one.

    Attributes:
        parts: that a share is cut into.
    """

    def __init__(
        self,
        detector: Detector,
        recipe: DetectorRecipe,
        optimiser: Sgd,
        batch_size: int,
        seed: int,
        processes: Processes = ALONE,
    ) -> None:
        self.detector, self.recipe, self.optimiser = detector, recipe, optimiser
        self.batch_size, self.seed, self.processes = batch_size, seed, processes
        self.parts = Parts(
            detector,
            optimiser,
            label=recipe.label,
            differs="Losses are means of a part; BatchNorm, unless frozen, uses its statistics.",
            smaller="train_sizes, max_size, detector or backbone",
        )

    def __call__(self, batch: Scenes, step: int) -> Tensor:
        """Take one step with this process's share of a batch.

        Returns:
            The parts of the loss of the whole batch, still on the device.

        Raises:
            TooLittleMemoryError: one image at a time is too much.
        """
        losses = self.parts.gradients(
            lambda: self._attempt(batch, step), len(batch[0]), n=self.batch_size
        )
        losses = self.processes.sum_gradients(self.optimiser.parameters, losses)
        self.processes.share_statistics(self.detector)
        if self.recipe.gradient_clip:
            nn.utils.clip_grad_norm_(self.optimiser.parameters, self.recipe.gradient_clip)
        self.optimiser.step(self.recipe.rate(step, self.batch_size))
        return losses

    def _attempt(self, batch: Scenes, step: int) -> LossOfRows:
        """Seed the step; return what maps rows of the share to their losses."""
        images, targets = batch
        sampling = derived_seed(self.seed, self.processes.named("sampling"), step)
        seed_modules(sampling, images[0].device)
        self.detector.train()
        device = images[0].device

        def losses_of(rows: slice) -> Tensor:
            with half_precision(device):
                return self.detector.losses(images[rows], targets[rows])

        return losses_of


def _shares(
    positions: np.ndarray,
    batch_size: int,
    first: int,
    recipe: DetectorRecipe,
    seed: int,
    processes: Processes,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield this process's share of each step that is left: positions, and which to mirror."""
    for step in range(first, recipe.steps):
        chosen = positions[batch_at(len(positions), batch_size, step, seed).numpy()]
        mirrored = flips(batch_size, step, seed).numpy() & recipe.flip
        yield chosen[processes.rows], mirrored[processes.rows]


def _identity(
    detector: Detector,
    cache: SceneCache,
    positions: np.ndarray,
    recipe: DetectorRecipe,
    question: str,
) -> str:
    """Digest everything that the result depends on; a state of anything else is not resumed."""
    digest = hashlib.sha256(f"{question}|{recipe}|{detector.network.transform}".encode())
    digest.update(json.dumps(cache.manifest, sort_keys=True).encode())
    digest.update(np.asarray(positions, np.int64).tobytes())
    trained = {name for name, each in detector.named_parameters() if each.requires_grad}
    for name, value in detector.state_dict().items():
        digest.update(f"|{name}|{tuple(value.shape)}|{name in trained}|".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _check(detector: Detector, cache: SceneCache, positions: np.ndarray) -> None:
    """Refuse what nothing can be learned from."""
    if not len(positions):
        raise DataError(
            f"{cache.folder}: there is no image to train on. Check that the training split of this "
            "dataset names images that exist, or raise its share."
        )
    if detector.masks and not cache.has_masks:
        raise ConfigError(
            f"detect: dataset '{cache.dataset}' has no masks, so no mask_rcnn can be trained on it."
            " Choose faster_rcnn or retinanet, or a dataset with masks."
        )
