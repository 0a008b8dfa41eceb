"""What a study of published datasets costs in GPU-hours, from three rates of a ResNet-50 at 224.

`python -m robust_transfer.config.cost STUDY.yaml --standard 4000 --pgd3 1500 --forward 12000`
"""

import argparse
from collections import defaultdict
from pathlib import Path

import yaml

from robust_transfer.config.check import check_config
from robust_transfer.config.grid import Cell
from robust_transfer.config.published import published_datasets
from robust_transfer.config.study import Study

#: Multiply-adds of a forward pass at 224 x 224, in units of 10^9, by torch's FlopCounterMode.
MULTIPLY_ADDS = {
    "resnet18": 1.81, "resnet50": 4.09, "wide_resnet50_2": 11.4, "wide_resnet50_4": 37.11,
    "densenet161": 7.73, "mnasnet1_0": 0.31, "mobilenet_v2": 0.30, "resnext50_32x4d": 4.23,
    "shufflenet_v2_x1_0": 0.14, "vgg16_bn": 15.47,
}  # fmt: skip
#: Small networks wait for memory, not arithmetic: none counts as less than this share of ResNet-50.
LEAST = 0.5


def gpu_hours(study: Study, *, standard: float, pgd3: float, forward: float) -> dict[str, float]:
    """Estimate the GPU-hours of a study by its parts.

    Args:
        study: all datasets published ones, all networks of `MULTIPLY_ADDS`.
        standard: images a second of ordinary training of a ResNet-50 at 224.
        pgd3: likewise, with three steps of PGD.
        forward: likewise, forward passes alone.

    Returns:
        Part -> hours: `pretraining <architecture>` and `transfer <mode>, <protocol>`.
    """
    hours: dict[str, float] = defaultdict(float)
    known = published_datasets()
    recipe = study.settings["pretrain"]["recipe"]
    source = study.settings["pretrain"]["source"]
    for backbone in study.backbones:
        if backbone.name not in study.imported:
            images = known[study.dataset(source)["kind"]].n_train * recipe["epochs"]
            rate = pgd3 if backbone.epsilon else standard
            part = f"pretraining {backbone.architecture}"
            hours[part] += images * _relative(backbone.architecture) / rate / 3600
    probed = set()
    for cell in study.cells:
        trained, seen = _images(study, cell)
        if (cell.mode, cell.protocol) == ("fixed", "clean"):
            place = (cell.backbone.name, cell.dataset, cell.resolution)
            seen *= place not in probed  # probes on fewer labels read the same features
            probed.add(place)
        seconds = trained / standard + seen / forward
        part = f"transfer {cell.mode}, {cell.protocol}"
        hours[part] += seconds * _relative(cell.backbone.architecture) / 3600
    return dict(hours)


def _relative(architecture: str) -> float:
    """Return the cost of an image beside that of a ResNet-50."""
    return max(LEAST, MULTIPLY_ADDS[architecture] / MULTIPLY_ADDS["resnet50"])


def _images(study: Study, cell: Cell) -> tuple[float, float]:
    """Return how many images a cell trains all weights on, and how many only pass forward."""
    transfer, seeds = study.settings["transfer"], len(study.transfer_seeds)
    size = published_datasets()[study.dataset(cell.dataset)["kind"]]
    held_out = transfer["validation_fraction"] * size.n_train
    if cell.protocol == "paper":
        recipe = transfer["paper"]
        runs = seeds * len(recipe["learning_rates"])
        looks = recipe["epochs"] / recipe["evaluate_every"]
        trained = runs * recipe["epochs"] * (size.n_train - held_out)
        seen = runs * looks * held_out + seeds * size.n_test
        # The head alone needs no gradient of the body.
        return (trained, seen) if cell.mode == "full" else (0, trained + seen)
    if cell.mode == "fixed":
        views = transfer["fixed"]["augmented_views"]
        return 0, size.n_train * (1 + seeds * views) + size.n_test
    recipe = transfer["full"]
    runs = seeds * len(recipe["learning_rates"])
    return runs * recipe["steps"] * recipe["batch_size"], runs * 4 * held_out + seeds * size.n_test


def main(arguments: list[str] | None = None) -> None:
    """Print the cost of a study.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="robust_transfer.config.cost", description=__doc__)
    parser.add_argument("study", type=Path, help="an overlay of config.yaml beside its folder")
    for rate in ("standard", "pgd3", "forward"):
        parser.add_argument(f"--{rate}", type=float, required=True, help="images a second")
    given = parser.parse_args(arguments)
    config = yaml.safe_load(Path(given.study.parent.parent, "config.yaml").read_text("utf-8"))
    for section, value in yaml.safe_load(given.study.read_text("utf-8")).items():
        config[section] = _merged(config.get(section), value)
    study = check_config(config, where=str(given.study), data_root_must_exist=False)
    rates = {"standard": given.standard, "pgd3": given.pgd3, "forward": given.forward}
    hours = gpu_hours(study, **rates)
    for part, number in sorted(hours.items()):
        print(f"| {part} | {number:,.0f} |")
    print(f"| all | {sum(hours.values()):,.0f} |")


def _merged(below: object, above: object) -> object:
    """Lay a value of an overlay over one of the config: mappings merge, all else is replaced."""
    if isinstance(below, dict) and isinstance(above, dict):
        return below | {key: _merged(below.get(key), value) for key, value in above.items()}
    return above


if __name__ == "__main__":
    main()
