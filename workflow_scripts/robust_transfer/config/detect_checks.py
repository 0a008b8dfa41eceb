"""Section `detect`: datasets that are there, detectors that fit backbones and datasets."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust_transfer.config.backbone_checks import read_backbones
from robust_transfer.config.problems import Problem, listed
from robust_transfer.config.raw import items_at, names_at, value_at
from robust_transfer.config.scenes import SCENE_KINDS, WITH_MASKS, has_masks

#: Beginnings of the names of the architectures whose stages a feature pyramid can stand on.
PYRAMID_FAMILIES = ("resnet", "wide_resnet", "resnext")
#: What lies below the folder of a dataset of each kind.
_LAYOUT = {
    "voc": ("VOC2007/JPEGImages", "VOC2012/JPEGImages"),
    "coco": ("annotations", "train2017", "val2017"),
    "voc_folder": ("JPEGImages", "Annotations"),
    "coco_folder": (),
}


def check_detection(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield what is wrong with the detectors of a study, where it has any.

    Args:
        config: may be wrong elsewhere.
    """
    datasets = items_at(config, "detect", "datasets")
    if not datasets:
        return
    yield from _names(config)
    yield from _splits(datasets)
    yield from _masks(config)
    yield from _families(config)
    yield from _replicates(config)


def _names(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield names that stand twice: they would share a folder."""
    known = {
        name: f"data.datasets[{place}]" for place, name in names_at(config, "data", "datasets")
    }
    for place, name in names_at(config, "detect", "datasets"):
        key = f"detect.datasets[{place}]"
        if name in known:
            yield Problem(
                key, f"dataset '{name}' stands already in {known[name]}", "Give it its own name."
            )
        known.setdefault(name, key)


def _splits(datasets: list[Any]) -> Iterator[Problem]:
    """Yield VOC folders that are split in two ways or in none."""
    for place, item in enumerate(datasets):
        if not isinstance(item, dict) or item.get("kind") != "voc_folder":
            continue
        lists = [key for key in ("train", "test") if item.get(key) is not None]
        drawn = [key for key in ("test_fraction", "split_seed") if item.get(key) is not None]
        if (len(lists), len(drawn)) not in ((2, 0), (0, 2)):
            given = listed([*lists, *drawn]) if lists or drawn else "neither lists nor a split"
            yield Problem(
                f"detect.datasets[{place}] ({item.get('name')})",
                given,
                "Give either `train` and `test`, lists of ImageSets/Main, or `test_fraction` and "
                "`split_seed`.",
            )


def _masks(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield detectors of masks where a dataset has none."""
    of_all = items_at(config, "detect", "detectors")
    for place, item in enumerate(items_at(config, "detect", "datasets")):
        wanted = [d for d in items_at(item, "detectors") or of_all if d in WITH_MASKS]
        if wanted and value_at(item, "kind") in SCENE_KINDS and not has_masks(item):
            yield Problem(
                f"detect.datasets[{place}] ({item.get('name')})",
                f"no masks, which {wanted[0]} learns from",
                "Take a dataset with masks (toy_scenes, coco, coco_folder), or detectors of "
                "boxes only.",
            )


def _families(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield backbones that no feature pyramid stands on."""
    for place, backbone in read_backbones(config):
        if not backbone.architecture.startswith(PYRAMID_FAMILIES):
            yield Problem(
                f"pretrain.backbones[{place}].architecture",
                f"{backbone.architecture}, where detect.datasets asks for detectors",
                "A feature pyramid stands on the stages of a ResNet, a wide ResNet or a ResNeXt: "
                "take one of these, or put the others into a study without detectors.",
            )
            return


def _replicates(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield a Welch test that is asked for and would have a single detector a cell."""
    seeds = items_at(config, "detect", "seeds")
    pretrained = {each.seed for _, each in read_backbones(config)}
    wanted = "welch" in items_at(config, "analysis", "tests")
    if wanted and len({str(seed) for seed in seeds}) == 1 and len(pretrained) < 2:
        yield Problem(
            "detect.seeds",
            "one seed, where analysis.tests asks for welch",
            "A Welch test needs at least 2 replicates a cell: give at least 2 seeds, or remove "
            "welch from analysis.tests.",
        )


def scenes_missing(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield the folders of scenes that are not on disk.

    Args:
        config: may be wrong elsewhere.
    """
    root = value_at(config, "data_root")
    for place, item in enumerate(items_at(config, "detect", "datasets")):
        kind = item.get("kind") if isinstance(item, dict) else None
        path = value_at(item, "path") or {"voc": "VOCdevkit", "coco": "coco"}.get(str(kind))
        if kind not in _LAYOUT or not isinstance(root, str) or not isinstance(path, str):
            continue
        folder = (Path(root) / path).absolute()
        lacking = [part for part in _LAYOUT[str(kind)] if not (folder / part).is_dir()]
        if lacking or not folder.is_dir():
            yield Problem(
                f"detect.datasets[{place}].path ({item.get('name')})",
                f"no folder {folder / lacking[0] if lacking else folder}",
                f"A dataset of kind {kind} holds {listed(_LAYOUT[str(kind)]) or 'its files'} "
                "below its path, which counts from data_root: docs/detection.md.",
            )
