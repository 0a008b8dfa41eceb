"""From (file, class) pairs of an annotation to a checked listing."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.config.published import published_datasets
from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.selection import thin

Pairs = Sequence[tuple[str, str]]  # (POSIX path below the root, name of the class)


def gather(
    root: Path, train: Pairs, test: Pairs, dataset: dict[str, Any], *, split: str
) -> Listing:
    """Check the pairs of an annotation against the disk and list them.

    Args:
        root: folder that the paths are relative to.
        train: (path, class) of the training images.
        test: likewise of the test images.
        dataset: its definition: `name`, `kind`, and maybe `max_train`, `max_test`, `split_seed`.
        split: the split, in words, for the manifest.

    Raises:
        DataError: a file is missing or named twice, a path leaves the root, a class stands under
            two spellings or has no training image, or there are fewer than two classes.
    """
    where = f"dataset '{dataset['name']}', {root}"
    _check_files(root, [path for path, _ in (*train, *test)], where)
    names = _class_names([name for _, name in (*train, *test)], where)
    classes = tuple(sorted(set(names.values())))
    position = {name: place for place, name in enumerate(classes)}
    parts = []
    for pairs, key in ((train, "max_train"), (test, "max_test")):
        labels = np.array([position[names[name]] for _, name in pairs], np.int64)
        rows = thin(labels, dataset, key)
        parts.append(([pairs[row][0] for row in rows], labels[rows]))
    unlearned = sorted(set(parts[1][1].tolist()) - set(parts[0][1].tolist()))
    if unlearned:
        raise DataError(
            f"{where}: class '{classes[unlearned[0]]}' has test images and no training image.\n"
            "  Check that the annotation files belong together."
        )
    published = published_datasets().get(dataset["kind"])
    title = published.title if published else f"table {dataset['path']}"
    return Listing(
        classes=classes,
        labels=np.concatenate([labels for _, labels in parts]),
        n_train=len(parts[0][1]),
        source=f"{title}, {split}",
        root=root,
        paths=tuple(path for paths, _ in parts for path in paths),
    )


def _check_files(root: Path, paths: list[str], where: str) -> None:
    """Refuse paths out of the root, files named twice and files that are not there.

    Folders are listed once each: a question to the disk for every image takes long on networks.
    """
    seen: set[str] = set()
    folders: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        if path in seen:
            raise DataError(f"{where}: {path} stands twice in the annotations.")
        seen.add(path)
        folder, _, name = path.rpartition("/")
        if path.startswith("/") or "\\" in path or ".." in path.split("/"):
            raise DataError(f"{where}: the annotations name '{path}', outside the dataset.")
        if folder not in folders:
            folders[folder] = _names_in(root / folder)
        if name not in folders[folder]:
            missing.append(path)
    if missing:
        raise DataError(
            f"{where}: the annotations name {len(missing)} of {len(paths)} images that are not "
            f"there, the first is {missing[0]}.\n  Unpack the archive again, whole."
        )


def _names_in(folder: Path) -> set[str]:
    return {entry.name for entry in os.scandir(folder)} if folder.is_dir() else set()


def _class_names(given: Iterable[str], where: str) -> dict[str, str]:
    """Map each class as spelled to its normal form C; two spellings of one class are refused."""
    spelled: dict[str, str] = {}
    for name in dict.fromkeys(given):
        other = spelled.setdefault(unicodedata.normalize("NFC", name).casefold(), name)
        if other != name:
            raise DataError(
                f"{where}: '{other}' and '{name}' are two spellings of one class ({other!a} and "
                f"{name!a}).\n  Use one of them throughout."
            )
    if len(spelled) < 2:
        raise DataError(f"{where}: there are {len(spelled)} classes; a classifier needs two.")
    return {name: unicodedata.normalize("NFC", name) for name in spelled.values()}


def needed(path: Path, dataset: dict[str, Any]) -> Path:
    """Return a path that must exist.

    Raises:
        DataError: it does not; the message says how to get the dataset and how it must lie.
    """
    if path.exists():
        return path
    published = published_datasets().get(dataset["kind"])
    how = published.how_to_get() if published else "Check the path."
    raise DataError(f"dataset '{dataset['name']}': there is no {path}.\n  {how}")


def lines_of(path: Path, dataset: dict[str, Any]) -> list[str]:
    """Return the lines of an annotation file that are not empty.

    Raises:
        DataError: there is no such file, or it is no UTF-8 text.
    """
    try:
        text = needed(path, dataset).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: this is no UTF-8 text: {error}.") from None
    lines = [line.rstrip("\r") for line in text.split("\n") if line.strip()]
    if not lines:
        raise DataError(f"{path}: the file is empty. Unpack the archive again.")
    return lines


def broken(path: Path, line: str, expected: str) -> DataError:
    """Return the error of an annotation line that is not as it must be."""
    return DataError(f"{path}: the line '{line[:80]}' is not '{expected}'. Get the file again.")
