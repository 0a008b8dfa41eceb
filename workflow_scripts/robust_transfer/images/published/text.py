"""Datasets whose splits are text or JSON files: Aircraft, DTD, Food-101, Pets and SUN397."""

import json
from pathlib import Path
from typing import Any

from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import Pairs, broken, gather, lines_of, needed


def list_aircraft(root: Path, dataset: dict[str, Any]) -> Listing:
    """List FGVC Aircraft by variant: train and validation together, and test, as the paper."""

    def part(split: str) -> Pairs:
        path = root / "data" / f"images_variant_{split}.txt"
        pairs = []
        for line in lines_of(path, dataset):
            number, gap, variant = line.partition(" ")  # variants hold spaces and slashes
            if not (gap and variant.strip()):
                raise broken(path, line, "<id> <variant>")
            pairs.append((f"data/images/{number}.jpg", variant.strip()))
        return pairs

    return gather(root, part("trainval"), part("test"), dataset, split="trainval and test")


def list_dtd(root: Path, dataset: dict[str, Any]) -> Listing:
    """List DTD: train and validation of one of its ten partitions, and test; 1 as the paper."""
    # The archive's own top folder is `dtd`; torchvision puts it into one more of that name.
    root = root / "dtd" if (root / "dtd" / "labels").is_dir() else root
    number = dataset.get("partition") or 1

    def part(split: str) -> Pairs:
        path = root / "labels" / f"{split}{number}.txt"
        pairs = []
        for line in lines_of(path, dataset):
            name, slash, file = line.strip().partition("/")
            if not (slash and file):
                raise broken(path, line, "<class>/<file>")
            pairs.append((f"images/{name}/{file}", name))
        return pairs

    train = [*part("train"), *part("val")]
    return gather(root, train, part("test"), dataset, split=f"partition {number}: train and val")


def list_food(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Food-101 by meta/train.json and meta/test.json."""

    def part(split: str) -> Pairs:
        path = needed(root / "meta" / f"{split}.json", dataset)
        try:
            listed: dict[str, list[str]] = json.loads(path.read_text(encoding="utf-8"))
            return [
                (f"images/{image}.jpg", name) for name in sorted(listed) for image in listed[name]
            ]
        except (ValueError, TypeError, LookupError) as error:
            raise DataError(
                f"{path}: not a JSON object of classes and their images: {error}."
            ) from None

    return gather(root, part("train"), part("test"), dataset, split="train and test")


def list_pets(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Oxford-IIIT Pets by breed: trainval and test; a class is named as its files are."""

    def part(split: str) -> Pairs:
        path = root / "annotations" / f"{split}.txt"
        pairs = []
        for line in lines_of(path, dataset):
            if line.startswith("#"):
                continue
            words = line.split(" ")
            if len(words) != 4 or not words[1].isdecimal() or "_" not in words[0]:
                raise broken(path, line, "<name> <class 1 to 37> <species> <breed>")
            pairs.append((f"images/{words[0]}.jpg", words[0].rpartition("_")[0]))
        return pairs

    return gather(root, part("trainval"), part("test"), dataset, split="trainval and test")


def list_sun397(root: Path, dataset: dict[str, Any]) -> Listing:
    """List SUN397 by one of its ten official partitions, 50 and 50 images a class; 1 as the paper.

    A class is its path without the letter in front, such as `abbey` or `bridge/indoor`.
    """
    needed(root / "ClassName.txt", dataset)
    folder = root / "Partitions" if (root / "Partitions").is_dir() else root
    number = dataset.get("partition") or 1

    def part(split: str) -> Pairs:
        path = folder / f"{split}_{number:02d}.txt"
        pairs = []
        for line in lines_of(path, dataset):
            words = line.strip().removeprefix("/").split("/")
            if len(words) < 3:
                raise broken(path, line, "/<letter>/<class>/<file>")
            pairs.append(("/".join(words), "/".join(words[1:-1])))
        return pairs

    train, test = part("Training"), part("Testing")
    return gather(root, train, test, dataset, split=f"official partition {number}")
