"""The benchmark of transfer: `python -m robust_transfer.benchmark.transfer --out FOLDER`.

First, fixed features: protocol clean with its whole grid of penalties and three seeds, beside
protocol paper with its two learning rates, three seeds and all its epochs, on one backbone and one
dataset of real images. Second, full network: images a second in fine-tuning, beside the plain loop
(files, Pillow, float32, contiguous). Both sides of each are measured in the same run.

Without --data the dataset is the UCI digits that scikit-learn ships, and the backbone is pretrained
on the embedded letters first.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from robust_transfer.benchmark.plain_loop import NETWORKS, measure_full
from robust_transfer.files import write_json
from robust_transfer.images.build import build_cache
from robust_transfer.training.device import best_device, use_threads
from robust_transfer.training.pretrain import pretrain
from robust_transfer.transfer.cell import transfer_cell

SCHEMA_VERSION = 1
SEEDS = [0, 1, 2]
#: As config.yaml and docs/transfer.md have them.
CLEAN = {
    "penalties": [1e-4, 1e-3, 1e-2, 1e-1],
    "augmented_views": 1,
    "augmentation": "shift",
    "validation_fraction": 0.2,
}
PAPER = {
    "epochs": 150,
    "decay_every": 50,
    "decay": 0.1,
    "batch_size": 64,
    "learning_rates": [0.01, 0.001],
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "evaluate_every": 5,
    "select_on": "validation",
    "mean": [0.0] * 3,
    "std": [1.0] * 3,
    "validation_fraction": 0.2,
}
LETTERS = {
    "name": "letters",
    "kind": "toy",
    "alphabet": "letters",
    "size": 48,
    "n_train": 4000,
    "n_test": 400,
    "seed": 0,
    "grating": 0.0,
}
PRETRAIN = {
    "epochs": 12,
    "batch_size": 128,
    "learning_rate": 0.2,
    "schedule": "cosine",
    "warmup": 0.2,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "label_smoothing": 0,
    "weight_average": 0,
    "epsilon_warmup": 0.3,
    "compile": "off",
    "attack_steps": 3,
    "relative_step_size": 2 / 3,
    "random_start": False,
    "augmentation": "shift",
    "validation_fraction": 0.1,
    "method": "pgd",
    "trades_beta": 6.0,
    "nfgsm_noise": 2.0,
}


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write transfer.json to a folder.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="robust_transfer.benchmark.transfer", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--data", type=Path, help="folder of images, <class>/<image>")
    parser.add_argument("--weights", type=Path, help="a backbone of this workflow")
    parser.add_argument("--architecture", default="resnet_small", help="to pretrain without one")
    parser.add_argument("--epochs", type=int, default=PAPER["epochs"], help="of protocol paper")
    parser.add_argument("--image-size", type=int, default=48, help="of that backbone, pixels")
    parser.add_argument("--part", choices=["fixed", "full"], help="measure this alone")
    parser.add_argument("--threads", type=int, help="of the CPU; default: torch's choice")
    parser.add_argument("--networks", nargs="+", default=NETWORKS, help="fine-tuned")
    parser.add_argument("--most", type=int, help="training images at most")
    parser.add_argument(
        "--plain-as-jobs", action="store_true",
        help="start the plain loop too as this project's jobs are, not as scripts are",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    given.out.mkdir(parents=True, exist_ok=True)
    use_threads(given.threads or torch.get_num_threads())
    definition = dataset(given.data, given.most)
    cache = given.out / "cache"
    build_cache(definition, "native", cache, data_root=given.out, on_bad_image="leave_out")
    result: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "machine": {"device": str(best_device()), "threads": torch.get_num_threads()},
        "dataset": {key: definition[key] for key in ("name", "kind")},
    }
    if given.part != "full":
        weights = given.weights or backbone(given.out, given.architecture, given.image_size)
        result["fixed"] = measure_fixed(given.out, weights, cache, given.epochs)
    if given.part != "fixed":
        result["full"] = measure_full(
            given.out, cache, image_size=given.image_size, networks=given.networks,
            plain_as_jobs=given.plain_as_jobs,
        )  # fmt: skip
        result["machine"]["plain_loop_started_as"] = "jobs" if given.plain_as_jobs else "scripts"
    write_json(given.out / "transfer.json", result)
    print(json.dumps(result, indent=1))


def dataset(folder: Path | None, most: int | None) -> dict[str, Any]:
    """Return the definition of the dataset: a folder's, or the UCI digits'."""
    if folder is None:
        return {"name": "uci_digits", "kind": "uci_digits", "test_fraction": 0.4, "split_seed": 0}
    few = {"max_train": most} if most else {}
    about = {"name": folder.name, "kind": "folder", "path": str(folder.absolute())}
    return about | {"test_fraction": 0.4, "split_seed": 0} | few


def backbone(folder: Path, architecture: str, image_size: int) -> Path:
    """Pretrain a backbone on the embedded letters; one that is there already is taken."""
    outputs = {name: str(folder / "backbone" / name)
               for name in ("last", "history", "cost")}  # fmt: skip
    outputs["weights"] = str(folder / "backbone" / f"{architecture}-{image_size}.safetensors")
    if not Path(outputs["weights"]).exists():
        cache = folder / "letters"
        build_cache(LETTERS, "native", cache, data_root=folder, on_bad_image="stop")
        about = {"name": architecture, "architecture": architecture, "source": "letters",
                 "norm": "l2", "epsilon": 0.0, "seed": 0}  # fmt: skip
        pretrain(
            cache, about, image_size=image_size, recipe=PRETRAIN, outputs=outputs,
            code="benchmark", on_device_mb=1000,
        )  # fmt: skip
    return Path(outputs["weights"])


def measure_fixed(folder: Path, weights: Path, cache: Path, epochs: int) -> dict[str, Any]:
    """Transfer by both protocols, from files to files, and compare time and accuracy.

    Protocol clean is run before and after the other, so that a machine whose speed drifts does not
    favour it: the slower of the two counts.

    Returns:
        Seconds, test accuracies a seed and forward passes of each protocol, and `times_as_fast`.
    """
    found: dict[str, Any] = {}
    paper = PAPER | {"epochs": epochs}
    for name, recipe in (("clean", CLEAN), ("paper", paper), ("clean_again", CLEAN)):
        protocol = name.removesuffix("_again")
        predictions = [str(folder / name / f"seed{seed}.npz") for seed in SEEDS]
        records = [str(folder / name / f"seed{seed}.json") for seed in SEEDS]
        cell = {"mode": "fixed", "protocol": protocol, "metric": "top1", "variant": "all",
                "label_budget": "all", "trainable_blocks": "all"}  # fmt: skip
        started, worked = time.monotonic(), time.process_time()
        transfer_cell(weights, cache, cell, recipe, seeds=SEEDS, predictions=predictions,
                      records=records, code="benchmark")  # fmt: skip
        found[name] = {
            "seconds": time.monotonic() - started,
            "cpu_seconds": time.process_time() - worked,
            "accuracy": [_accuracy(path) for path in predictions],
            "images_through_network": sum(
                json.loads(Path(path).read_text())["images_through_network"] for path in records
            ),
            "recipe": recipe,
        }
    slower = max(found["clean"]["seconds"], found["clean_again"]["seconds"])
    clean = max(found["clean"]["cpu_seconds"], found["clean_again"]["cpu_seconds"])
    found["cpu_times_as_fast"] = found["paper"]["cpu_seconds"] / clean
    found["times_as_fast"] = found["paper"]["seconds"] / slower
    return found | {"difference": _difference(found["clean"], found["paper"])}


def _accuracy(path: str) -> float:
    with np.load(path) as stored:
        return float((stored["logits"].argmax(1) == stored["labels"]).mean())


def _difference(clean: dict[str, Any], paper: dict[str, Any]) -> dict[str, Any]:
    """Return clean minus paper, paired by seed, with Student's 95% interval."""
    from scipy.special import stdtrit

    apart = np.array(clean["accuracy"]) - np.array(paper["accuracy"])
    half = float(stdtrit(len(apart) - 1, 0.975) * apart.std(ddof=1) / len(apart) ** 0.5)
    mean = float(apart.mean())
    return {"mean": mean, "ci_low": mean - half, "ci_high": mean + half, "n": len(apart)}


if __name__ == "__main__":
    main()
