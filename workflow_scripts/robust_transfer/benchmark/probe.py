"""A large fit of probes: what it states that it takes, what it takes, and how long.

`PYTHONPATH=workflow_scripts python -m robust_transfer.benchmark.probe --out FILE`: 2,048 random
features, 100 classes, 75,000 images, three seeds.
"""

import argparse
import json
import re
import time
from pathlib import Path
from typing import Any

import torch

from robust_transfer.files import write_json
from robust_transfer.transfer.probe import MOST_ITERATIONS, fit_probes
from robust_transfer.transfer.probe_memory import probe_bytes
from robust_transfer.transfer.sample import Sample, plain_sample

SCHEMA_VERSION = 1
STATUS, FORGET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def measure(
    images: int, features: int, classes: int, seeds: int, penalty: float, iterations: int
) -> dict[str, Any]:
    """Fit probes to random features whose class means differ a little.

    Args:
        images: of each seed.
        features: width.
        classes: number of classes.
        seeds: fitted at once; each has images of its own, out of one matrix.
        penalty: L2.
        iterations: at most.

    Returns:
        `stated_mib` and `taken_mib` beside the features (`features_mib`), the latter on Linux
        alone; `seconds`, `iterations` of each seed, and whether all were `solved`.
    """
    samples = drawn(images, features, classes, seeds)
    torch.linalg.eigh(torch.eye(9, dtype=torch.float64))  # loads the library
    before, start = _memory("VmRSS", forget=True), time.monotonic()
    probes = fit_probes(
        samples, classes=classes, penalties=torch.tensor([penalty]), max_iterations=iterations
    )
    seconds = time.monotonic() - start
    return {
        "stated_mib": probe_bytes(images, features, classes, 1, seeds) / 2**20,
        "taken_mib": (_memory("VmHWM") - before) / 2**20 if STATUS.is_file() else None,
        "features_mib": samples[0].features.nbytes / 2**20,
        "seconds": seconds,
        "iterations": probes.iterations.flatten().tolist(),
        "solved": bool(probes.solved.all()),
        "threads": torch.get_num_threads(),
    }


def drawn(images: int, features: int, classes: int, seeds: int) -> list[Sample]:
    """Draw a matrix, and of each seed most of its rows."""
    generator = torch.Generator().manual_seed(0)
    count = images + images // 4
    labels = torch.arange(count) % classes
    x = torch.randn(count, features, generator=generator)
    x += 0.1 * torch.randn(classes, features, generator=generator)[labels]
    whole = plain_sample(x, labels)
    found = []
    for _ in range(seeds):
        rows = torch.randperm(count, generator=generator)[:images].sort().values
        found.append(Sample(x, rows, labels[rows], whole.mean, whole.std))
    return found


def _memory(kind: str, *, forget: bool = False) -> int:
    """Return what this process holds, or the most since it forgot, in bytes; 0 off Linux."""
    if not STATUS.is_file():
        return 0
    if forget:
        FORGET.write_text("5")
    found = re.search(kind + r":\s+(\d+)", STATUS.read_text())
    return 1024 * int(found[1]) if found else 0


def main(arguments: list[str] | None = None) -> None:
    """Measure, write and print.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="robust_transfer.benchmark.probe", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="JSON file of the result")
    for name, default in (("images", 75_000), ("features", 2048), ("classes", 100), ("seeds", 3),
                          ("iterations", MOST_ITERATIONS)):  # fmt: skip
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--penalty", type=float, default=0.01)
    parser.add_argument("--threads", type=int, help="default: torch's choice")
    given = vars(parser.parse_args(arguments))
    out, threads = given.pop("out"), given.pop("threads")
    if threads:
        torch.set_num_threads(threads)
    found = {"schema_version": SCHEMA_VERSION, **given, **measure(**given)}
    write_json(out, found)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
