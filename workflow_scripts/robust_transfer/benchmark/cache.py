"""Reading a cache beside reading the folder: `python -m robust_transfer.benchmark.cache`.

Both give every image once, in shuffled batches of square uint8 images, as a training epoch asks for
them; the pixels are compared first. The alternative is torchvision's ImageFolder with Pillow, in as
many worker processes as are allowed, or in this one: whichever is faster counts.
"""

import argparse
import csv
import io
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader

from robust_transfer.errors import DataError
from robust_transfer.files import write_text
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import ImageCache, load_cache
from robust_transfer.training.squares import squares

BATCH = 256
Epoch = Callable[[], Iterator[Tensor]]
COLUMNS = ("resolution", "size", "way", "images", "epoch", "seconds", "images_per_second")


def measure(
    images: Path,
    out: Path,
    *,
    native_size: int,
    workers: int,
    epochs: int,
    native_short_side: int | None = None,
) -> list[dict[str, Any]]:
    """Measure at 32x32 and at native size, and write `cache.csv` and `cache.md`.

    Args:
        images: a folder with a folder a class.
        out: folder of the results.
        native_size: network input that images of native size are brought to, pixels a side.
        workers: processes that read the folder, threads that read the cache.
        native_short_side: images of the native cache are reduced to, pixels; None: they are not.
        epochs: measured of each way, one after the other in turns, after one that warms up.

    Returns:
        The rows of `cache.csv`.
    """
    rows: list[dict[str, Any]] = []
    built: dict[str, tuple[float, float]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        for resolution, size in (("32", 32), ("native", native_size)):
            folder = Path(scratch, resolution)
            start, before = time.monotonic(), _peak_mb()
            dataset = {"name": "images", "kind": "folder", "path": str(images.absolute()),
                       "test_fraction": 0.1, "split_seed": 0}  # fmt: skip
            build_cache(
                dataset, resolution, folder, data_root="", on_bad_image="stop", workers=workers,
                native_short_side=native_short_side,
            )  # fmt: skip
            built[resolution] = (time.monotonic() - start, _peak_mb() - before)
            cache = load_cache(folder)
            ways = _ways(cache, images, size, workers)
            for epoch in range(epochs + 1):
                for way, read in ways.items():
                    seconds, count = _seconds(read)
                    if epoch:  # the first warms up
                        rate = count / seconds
                        values = (resolution, size, way, count, epoch, seconds, rate)
                        rows.append(dict(zip(COLUMNS, values, strict=True)))
    out.mkdir(parents=True, exist_ok=True)
    with (out / "cache.csv").open("w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
    write_text(out / "cache.md", summary(rows, built, workers))
    return rows


def _ways(cache: ImageCache, images: Path, size: int, workers: int) -> dict[str, Epoch]:
    """Return the ways to read one epoch, once all give the same pixels."""
    from torchvision import datasets, transforms

    prepare = transforms.Compose(
        [transforms.Resize(size), transforms.CenterCrop(size), transforms.PILToTensor()]
    )
    folder = datasets.ImageFolder(str(images), transform=prepare)
    _check_same_pixels(cache, folder, size)
    ways: dict[str, Epoch] = {"cache": lambda: _from_cache(cache, size, workers)}
    for count in (workers, 0):
        loader: DataLoader[Any] = DataLoader(
            folder, BATCH, shuffle=True, num_workers=count, persistent_workers=count > 0,
            multiprocessing_context="fork" if count else None,
        )  # fmt: skip
        ways[f"folder, {count} workers"] = lambda loader=loader: (batch for batch, _ in loader)  # type: ignore[misc]
    return ways


def _from_cache(cache: ImageCache, size: int, threads: int) -> Iterator[Tensor]:
    order = np.random.default_rng().permutation(len(cache))
    for start in range(0, len(order), BATCH):
        pixels = squares(cache, order[start : start + BATCH], size, threads)
        yield torch.from_numpy(pixels).permute(0, 3, 1, 2)


def _check_same_pixels(cache: ImageCache, folder: Any, size: int, images: int = 64) -> None:
    """Compare some images of both ways.

    Raises:
        DataError: an image differs, or the cache holds another number of images.
    """
    with (cache.folder / "files.csv").open(encoding="utf-8", newline="") as stream:
        paths = [row["path"] for row in csv.DictReader(stream)]
    places = {
        Path(path).relative_to(folder.root).as_posix(): place
        for place, (path, _) in enumerate(folder.samples)
    }
    if len(paths) != len(places):
        raise DataError(f"{folder.root}: {len(paths)} images in the cache, {len(places)} listed.")
    for row in np.linspace(0, len(paths) - 1, images).astype(int):
        ours = squares(cache, np.array([row]), size)[0]
        theirs = folder[places[paths[row]]][0].permute(1, 2, 0).numpy()
        differences = np.abs(ours.astype(int) - theirs.astype(int))
        # An image that was reduced before is resized twice, and a little smoother.
        reduced = "reduced" in cache.manifest["resize"] and differences.mean() < 8
        if differences.max() > 2 and not reduced:  # torch rounds otherwise than Pillow
            raise DataError(f"{paths[row]}: the two ways give different pixels.")


def _peak_mb() -> float:
    """Return the most memory that this process has held, MB; its workers apart."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def write_photos(folder: Path, images: int, seed: int = 0) -> Path:
    """Write JPEG files of 640 x 480 pixels in ten classes, to measure memory by.

    Args:
        folder: where to.
        images: how many; every hundredth has pixels of its own.
        seed: of the pixels.
    """
    noise = np.random.default_rng(seed)
    content = b""
    for number in range(images):
        if number % 100 == 0:
            coarse = noise.integers(0, 256, (30, 40, 3), np.uint8)
            picture = io.BytesIO()
            Image.fromarray(coarse).resize((640, 480)).save(picture, "JPEG")
            content = picture.getvalue()
        path = folder / f"class {number % 10}" / f"{number:07d}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return folder


def _seconds(read: Epoch) -> tuple[float, int]:
    start, count = time.monotonic(), 0
    for batch in read():
        count += len(batch)
    return time.monotonic() - start, count


def summary(rows: list[dict[str, Any]], built: dict[str, tuple[float, float]], workers: int) -> str:
    """Spell medians and ratios as a Markdown table.

    Args:
        rows: of `cache.csv`.
        built: seconds that each cache took and by how many MB memory grew, by resolution.
        workers: processes that read the folder, threads that read the cache.
    """
    lines = [
        f"{workers} processes or threads, {os.cpu_count()} cores; medians of images a second.",
        "",
        "| resolution | size | images | cache | folder | ratio (lowest, highest) | build, s "
        "| memory, MB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for resolution, (seconds, grown) in built.items():
        mine = [row for row in rows if row["resolution"] == resolution]
        rates: dict[str, list[float]] = {}
        for row in mine:
            rates.setdefault(row["way"], []).append(row["images_per_second"])
        medians = {way: statistics.median(each) for way, each in rates.items()}
        best = max((way for way in rates if way != "cache"), key=lambda way: medians[way])
        ratios = [ours / theirs for ours, theirs in zip(rates["cache"], rates[best], strict=True)]
        lines.append(
            f"| {resolution} | {mine[0]['size']} | {mine[0]['images']} | {medians['cache']:,.0f} | "
            f"{medians[best]:,.0f} ({best}) | {statistics.median(ratios):.1f} "
            f"({min(ratios):.1f}, {max(ratios):.1f}) | {seconds:.1f} | {grown:.0f} |"
        )
    return "\n".join(lines) + "\n"


def main(arguments: list[str] | None = None) -> None:
    """Measure, and print the table.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="robust_transfer.benchmark.cache", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--images", type=Path, help="folder with a folder a class")
    parser.add_argument("--generate", type=int, help="measure on so many generated photos instead")
    parser.add_argument("--native-size", type=int, default=64, help="network input of native")
    parser.add_argument("--native-short-side", type=int, help="the native cache is reduced to it")
    parser.add_argument("--workers", type=int, default=2, help="processes; threads of the cache")
    parser.add_argument("--epochs", type=int, default=5, help="measured of each way")
    given = parser.parse_args(arguments)
    if (given.images is None) == (given.generate is None):
        parser.error("give either --images or --generate.")
    with tempfile.TemporaryDirectory() as folder:
        measure(
            given.images or write_photos(Path(folder), given.generate),
            given.out,
            native_size=given.native_size,
            workers=given.workers,
            epochs=given.epochs,
            native_short_side=given.native_short_side,
        )
    print((given.out / "cache.md").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
