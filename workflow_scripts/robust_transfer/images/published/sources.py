"""ImageNet and its kin: a folder a class for training, and three ways to label validation."""

import csv
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.folder import list_folder
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import Pairs, broken, gather, lines_of, needed


def list_train_and_val(root: Path, dataset: dict[str, Any]) -> Listing:
    """List train/<wnid>/ and val/<wnid>/: Stylized-ImageNet and Imagenette."""
    needed(root / "train", dataset)
    needed(root / "val", dataset)
    options = {key: dataset.get(key) for key in ("name", "split_seed", "max_train", "max_test")}
    return list_folder(options | {"path": str(root), "test_folder": "val"}, "")


def list_imagenet(root: Path, dataset: dict[str, Any]) -> Listing:
    """List ImageNet; the validation images lie a folder a class, or all in one.

    In one folder they are labelled by LOC_val_solution.csv (Kaggle's copy) or by the devkit.
    """
    needed(root / "train", dataset)
    folder = needed(root / "val", dataset)
    if any(path.is_dir() for path in folder.iterdir()):
        return list_train_and_val(root, dataset)
    labels = _solution(root, dataset) or _devkit(root, dataset)
    return gather(root, _train(root, ""), labels, dataset, split="train and val")


def list_tiny_imagenet(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Tiny-ImageNet: train/<wnid>/images, and val by val_annotations.txt.

    Classes of wnids.txt whose training folder is missing are left out, as in a part of the set.
    """
    known = {line.strip() for line in lines_of(root / "wnids.txt", dataset)}
    needed(root / "train", dataset)
    train = [pair for pair in _train(root, "images") if pair[1] in known]
    present = {name for _, name in train}
    annotations = root / "val" / "val_annotations.txt"
    test = []
    for line in lines_of(annotations, dataset):
        words = line.split("\t")
        if len(words) < 2 or words[1] not in known:
            raise broken(annotations, line, "<file> <wnid> and a box, between tabs")
        if words[1] in present:
            test.append((f"val/images/{words[0]}", words[1]))
    return gather(root, train, test, dataset, split="train and val")


def _train(root: Path, below: str) -> Pairs:
    """List train/<wnid>/[<below>/]*.JPEG, sorted."""
    pairs = []
    for folder in sorted(path for path in (root / "train").iterdir() if path.is_dir()):
        for image in sorted((folder / below).glob("*.[Jj][Pp]*[Gg]")):
            pairs.append((image.relative_to(root).as_posix(), folder.name))
    return pairs


def _solution(root: Path, dataset: dict[str, Any]) -> Pairs:
    """Read LOC_val_solution.csv: "ImageId,PredictionString", the string led by the wnid."""
    path = root / "LOC_val_solution.csv"
    if not path.is_file():
        return []
    rows = list(csv.reader(lines_of(path, dataset)))[1:]
    if not all(len(row) == 2 and row[1].strip() for row in rows):
        raise DataError(f"{path}: expected lines of ImageId,PredictionString. Get it again.")
    return sorted((f"val/{name}.JPEG", words.split()[0]) for name, words in rows)


def _devkit(root: Path, dataset: dict[str, Any]) -> Pairs:
    """Read the devkit: the ILSVRC number of every validation image, and the wnid of each."""
    from scipy.io import loadmat  # slow to import: only here

    folder = root / "ILSVRC2012_devkit_t12" / "data"
    truth = folder / "ILSVRC2012_validation_ground_truth.txt"
    numbers = lines_of(truth, dataset)
    meta = loadmat(needed(folder / "meta.mat", dataset), squeeze_me=True)
    synsets = np.atleast_1d(meta["synsets"])
    wnids = {int(row["ILSVRC2012_ID"]): str(row["WNID"]) for row in synsets}
    pairs = []
    for place, number in enumerate(numbers, start=1):
        if not number.strip().isdecimal() or int(number) not in wnids:
            raise broken(truth, number, "a number of a class of meta.mat")
        pairs.append((f"val/ILSVRC2012_val_{place:08d}.JPEG", wnids[int(number)]))
    return pairs
