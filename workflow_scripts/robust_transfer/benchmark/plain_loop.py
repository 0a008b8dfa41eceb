"""Fine-tuning beside the plain loop: images a second, the same network, images and augmentation."""

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.benchmark.elsewhere import Elsewhere, as_jobs, as_scripts
from robust_transfer.images.cache import load_cache
from robust_transfer.training.augmentation import augmentation
from robust_transfer.training.device import best_device
from robust_transfer.training.loop import Recipe, fit
from robust_transfer.transfer.target import load_target

BATCH, ROUNDS, SECONDS = 64, 5, 3.0
STEPS = 80  # of a run of ours at most, as in the demo; fewer where they would take too long
NETWORKS = ("resnet_small", "resnet_small_w32", "resnet18")
WORKERS = (0, 2)  # of the plain loop; the faster counts


def measure_full(
    folder: Path,
    cache_folder: Path,
    *,
    image_size: int,
    networks: Sequence[str] = NETWORKS,
    plain_as_jobs: bool = False,
) -> list[dict[str, Any]]:
    """Measure fine-tuning steps of both, in turns, each in a process of its own.

    Args:
        folder: gets the images as JPEG files, as the plain loop wants them.
        cache_folder: of the dataset.
        image_size: network input, pixels a side.
        networks: architectures.
        plain_as_jobs: whether the plain loop too is started as this project's jobs are; if not, as
            a script is.

    Returns:
        A row a network: medians of images a second, ours and the plain loop's; the ratio of each
        round, to the faster plain loop of that round, and their median.
    """
    files = write_files(cache_folder, folder / "files")
    threads = torch.get_num_threads()
    jobs, scripts = as_jobs(threads), as_scripts()
    rows = []
    for network in networks:
        with contextlib.ExitStack() as ended:
            ways = {}
            makers: dict[str, tuple[Any, ...]] = {
                "ours": (_ours, cache_folder, network, image_size, folder)
            }
            makers |= {str(n): (_plain, files, network, image_size, n) for n in WORKERS}
            for name, made in makers.items():
                environment = jobs if plain_as_jobs or name == "ours" else scripts
                ways[name] = Elsewhere(*made, environment=environment, threads=threads)
                ended.callback(ways[name].end)
            rows.append(_row(network, image_size, ways))
    return rows


def _row(network: str, image_size: int, ways: Mapping[str, Elsewhere]) -> dict[str, Any]:
    """Measure one network's ways, in turns."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(ROUNDS + 1):
        for name, way in ways.items():
            speed = way.ask("speed")
            if turn:  # the first warms up
                speeds[name].append(speed)
    medians = {name: statistics.median(each) for name, each in speeds.items()}
    plain = [max(each) for each in zip(*(speeds[str(n)] for n in WORKERS), strict=True)]
    ratios = [mine / theirs for mine, theirs in zip(speeds["ours"], plain, strict=True)]
    return {
        "network": network,
        "image_size": image_size,
        "images_per_second": medians["ours"],
        "images_per_second_plain": {str(n): medians[str(n)] for n in WORKERS},
        "times_as_fast": statistics.median(ratios),
        "times_as_fast_by_round": ratios,
    }


def write_files(cache_folder: Path, folder: Path) -> Path:
    """Write the training images as <class>/<row>.jpg, as they would lie on a disk."""
    cache = load_cache(cache_folder)
    for row in range(cache.n_train):
        path = folder / f"{int(cache.labels[row]):03d}" / f"{row}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            Image.fromarray(np.array(cache.image(row))).save(path, quality=90)
    return folder


@dataclass(frozen=True)
class Loop:
    """A loop that trains.

    Attributes:
        step: takes steps and returns how many images they had.
        ahead: batches that workers read before they are asked for: these are not counted, and
            whose turn is next does not begin before they are read again.
    """

    step: Callable[[], int]
    ahead: int

    def speed(self) -> float:
        """Return images a second over `SECONDS` or one call, whichever is longer."""
        for _ in range(self.ahead):
            self.step()
        images, started = 0, time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            images += self.step()
        speed = images / (time.perf_counter() - started)
        time.sleep(self.ahead / 4)
        return speed


def _ours(cache_folder: Path, network: str, size: int, folder: Path) -> Loop:
    """Make our loop."""
    data = load_target(cache_folder, image_size=size, metric="top1", device=best_device())
    images, labels = data.images[: data.n_train], data.labels[: data.n_train]
    model = _network(network, data.classes, size).to(images.device)

    def take(steps: int) -> int:
        recipe = Recipe(
            steps=steps,
            batch_size=BATCH,
            learning_rate=lambda step: 0.01,
            momentum=0.9,
            weight_decay=5e-4,
            augment=augmentation("shift"),
            identity="benchmark",
            label="ours",
        )
        state = folder / "state.safetensors"
        fit(
            model,
            images,
            labels,
            recipe,
            seed=0,
            evaluate=lambda model: {"validation_accuracy": 0.0},
            evaluate_every=steps,
            state_path=state,
        )  # a run ends with an evaluation and a state on disk, which count
        state.unlink()
        return steps * min(BATCH, len(images))

    started = time.perf_counter()
    take(2)
    within = 2 * int(2 * SECONDS / (time.perf_counter() - started))
    return Loop(lambda: take(min(STEPS, max(2, within))), ahead=0)


def _network(network: str, classes: int, size: int) -> nn.Module:
    return make_backbone(
        network, classes=classes, image_size=size, mean=[0.5] * 3, std=[0.25] * 3, seed=0
    )


def _plain(files: Path, network: str, size: int, workers: int) -> Loop:
    """Make the plain loop."""
    from torchvision import datasets, transforms

    way = transforms.Compose([
        transforms.Resize(size),
        transforms.CenterCrop(size),
        transforms.Pad(size // 8, padding_mode="reflect"),
        transforms.RandomCrop(size),
        transforms.ToTensor(),
    ])  # fmt: skip
    folder = datasets.ImageFolder(str(files), way)
    loader = torch.utils.data.DataLoader(
        folder,
        batch_size=BATCH,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
        persistent_workers=workers > 0,
    )
    model = _network(network, len(folder.classes), size).to(best_device())
    model = model.to(memory_format=torch.contiguous_format)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4)
    batches = _forever(loader)

    def step() -> int:
        images, labels = next(batches)
        images, labels = images.to(best_device()), labels.to(best_device())
        model.train()
        optimiser.zero_grad()
        F.cross_entropy(model(images), labels).backward()
        optimiser.step()
        return len(images)

    return Loop(step, ahead=2 * workers)


def _forever(loader: Any) -> Iterator[tuple[Tensor, Tensor]]:
    while True:
        yield from loader
