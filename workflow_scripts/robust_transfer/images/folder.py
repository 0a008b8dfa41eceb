"""Listing a folder of images: one folder a class, with or without a split.

Hidden files and folders are ignored, and so are files that are known not to be images (see
`NOT_IMAGES`). Every other file below a class's folder must be an image.
"""

import os
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError, did_you_mean
from robust_transfer.images.listing import Listing
from robust_transfer.images.selection import split_rows, thin

TEST_FOLDERS = ("test", "val", "valid")  # tried in this order
IGNORED_NAMES = {"thumbs.db", "desktop.ini", "__macosx", "@eadir"}  # left by file managers
NOT_IMAGES = {
    *(".txt", ".csv", ".tsv", ".json", ".jsonl", ".xml", ".yaml", ".yml"),
    *(".md", ".html", ".mat", ".log", ".ini", ".db"),
}

Files = dict[str, list[str]]  # class name -> POSIX paths of its files below the root


def list_folder(dataset: dict[str, Any], data_root: str | Path) -> Listing:
    """List `train/<class>/*` and `test/<class>/*`, or `<class>/*` split by a seed.

    `test_fraction` splits `train`, or the folder itself where there is no `train`; without it a
    test folder must exist. A class is named by `class_depth` levels of folders; its images may
    lie deeper.

    Args:
        dataset: `name`, `path`, and maybe `class_depth`, `test_folder`, `test_fraction`,
            `split_seed`, `max_train`, `max_test`.
        data_root: folder that `path` is below; an absolute `path` stands for itself.

    Raises:
        DataError: folders are missing or empty, classes contradict each other, or there are
            fewer than two.
    """
    root = Path(data_root, dataset["path"])
    where = f"dataset '{dataset['name']}', {root}"
    if not root.is_dir():
        raise DataError(
            f"{where}: there is no such folder.\n"
            "  Check data_root and the dataset's path; unpack the images there."
        )
    train_folder = "train" if _has_folders(root / "train") else ""
    test_folder = _test_folder(root, train_folder, dataset, where)
    depth = dataset.get("class_depth") or 1
    train = _files_by_class(root, train_folder, depth, where)
    classes = _class_names(train, where)
    if test_folder is None:
        return _split_by_seed(root, train, classes, dataset)
    test = _files_by_class(root, test_folder, depth, where)
    _check_test_classes(train, test, test_folder, where)
    parts = [_flatten(train, classes), _flatten(test, classes)]
    chosen = [
        thin(labels, dataset, key)
        for (_, labels), key in zip(parts, ("max_train", "max_test"), strict=True)
    ]
    return Listing(
        classes=tuple(classes),
        labels=np.concatenate([parts[i][1][chosen[i]] for i in (0, 1)]),
        n_train=len(chosen[0]),
        source=f"folder {dataset['path']}: {train_folder}/ and {test_folder}/"
        + _thinned_in_words(dataset),
        root=root,
        paths=tuple(parts[i][0][row] for i in (0, 1) for row in chosen[i]),
    )


def _split_by_seed(
    root: Path, files: Files, classes: dict[str, str], dataset: dict[str, Any]
) -> Listing:
    """Split one folder of classes by `test_fraction` and `split_seed`."""
    paths, labels = _flatten(files, classes)
    order, n_train = split_rows(labels, dataset)
    return Listing(
        classes=tuple(classes),
        labels=labels[order],
        n_train=n_train,
        source=f"folder {dataset['path']}, test_fraction {dataset['test_fraction']} split by "
        f"split_seed {dataset['split_seed']}" + _thinned_in_words(dataset),
        root=root,
        paths=tuple(paths[row] for row in order),
    )


def _test_folder(root: Path, train: str, dataset: dict[str, Any], where: str) -> str | None:
    """Name the folder of test images; None: `test_fraction` makes the split."""
    named, fraction = dataset.get("test_folder"), dataset.get("test_fraction")
    if named is not None and fraction is not None:
        raise DataError(f"{where}: both test_folder and test_fraction are given. Remove one.")
    if fraction is not None:
        if dataset.get("split_seed") is None:
            raise DataError(f"{where}: test_fraction needs a split_seed. Add split_seed: 0.")
        return None
    found = [name for name in ([named] if named else TEST_FOLDERS) if (root / name).is_dir()]
    if train and found:
        return str(found[0])
    wanted = named or " or ".join(TEST_FOLDERS)
    raise DataError(
        f"{where}: there is no folder {'train' if not train else wanted} with a folder for each "
        f"class.\n  Make folders train/<class>/ and {named or 'test'}/<class>/, or give "
        "test_fraction and split_seed, to hold out a share of the images."
    )


def _files_by_class(root: Path, split: str, depth: int, where: str) -> Files:
    """Find the files of every class below one folder; a class without any is an error."""
    folder = root / split if split else root
    files: Files = {}
    for path in _folders_at(folder, depth):
        found = [str(file.relative_to(root).as_posix()) for file in _walk(path, ())]
        name = path.relative_to(folder).as_posix()
        if not found:
            raise DataError(
                f"{where}: the folder of class '{name}', {path}, holds no image.\n"
                "  Put images there, or remove the folder."
            )
        files[name] = sorted(found)
        _check_utf8(files[name], where)
    if not files:
        raise DataError(
            f"{where}: there are no images below {folder}.\n"
            f"  Expected {folder}/{'<folder>/' * (depth - 1)}<class>/<image>."
        )
    return files


def _folders_at(folder: Path, depth: int) -> list[Path]:
    """Return the folders `depth` levels below; images on the way there belong to no class."""
    entries = _visible(folder)
    stray = [entry for entry in entries if entry.is_file()]
    if stray:
        raise DataError(
            f"{stray[0].path}: this file lies beside the folders of the classes, not in one.\n"
            "  Move it into its class's folder or remove it; class_depth says how many levels "
            "of folders name a class."
        )
    folders = [Path(entry.path) for entry in entries if entry.is_dir()]
    if depth == 1:
        return folders
    return [deeper for path in folders for deeper in _folders_at(path, depth - 1)]


def _walk(folder: Path, above: tuple[str, ...]) -> Iterator[Path]:
    """Yield the files below a folder that must be images; links are followed, rings are not."""
    real = os.path.realpath(folder)
    if real in above:
        return
    for entry in _visible(folder):
        if entry.is_dir():
            yield from _walk(Path(entry.path), (*above, real))
        else:
            yield Path(entry.path)


def _visible(folder: Path) -> list["os.DirEntry[str]"]:
    """Return what a folder holds, sorted by name, without what is ignored."""
    with os.scandir(folder) as entries:
        return sorted(
            (
                entry
                for entry in entries
                if not entry.name.startswith(".")
                and entry.name.lower() not in IGNORED_NAMES
                and (entry.is_dir() or Path(entry.name).suffix.lower() not in NOT_IMAGES)
            ),
            key=lambda entry: entry.name,
        )


def _has_folders(folder: Path) -> bool:
    """Say whether a folder holds folders: a `train` that holds images alone is a class."""
    return folder.is_dir() and any(entry.is_dir() for entry in _visible(folder))


def _class_names(files: Files, where: str) -> dict[str, str]:
    """Map each class's name, sorted and in normal form C, to its folder as it is spelled.

    Raises:
        DataError: two folders differ only in case or in Unicode composition, or there are fewer
            than two classes.
    """
    spelled: dict[str, str] = {}
    for folder in sorted(files):
        key = unicodedata.normalize("NFC", folder).casefold()
        if key in spelled:
            raise DataError(
                f"{where}: '{spelled[key]}' and '{folder}' are two spellings of one class "
                f"({spelled[key]!a} and {folder!a}).\n  Put their images into one folder."
            )
        spelled[key] = folder
    if len(files) < 2:
        raise DataError(
            f"{where}: there is only one class, '{next(iter(files))}'.\n"
            "  A classifier needs two; is the path one folder too deep, or class_depth wrong?"
        )
    names = {unicodedata.normalize("NFC", folder): folder for folder in files}
    return dict(sorted(names.items()))


def _check_test_classes(train: Files, test: Files, test_folder: str, where: str) -> None:
    """Refuse a class to be tested on that there is nothing to learn from."""
    unknown = sorted(set(test) - set(train))
    if unknown:
        raise DataError(
            f"{where}: {test_folder}/ has {len(unknown)} classes that train/ does not have, the "
            f"first is '{unknown[0]}'.{did_you_mean(unknown[0], train)}\n"
            "  Give every class the same folder name in both."
        )


def _check_utf8(paths: list[str], where: str) -> None:
    """Refuse a file name that no text file can hold."""
    for path in paths:
        try:
            path.encode()
        except UnicodeEncodeError:
            raise DataError(f"{where}: the name of {path!a} is not UTF-8. Rename it.") from None


def _flatten(files: Files, classes: dict[str, str]) -> tuple[list[str], np.ndarray]:
    """Lay the files of all classes in one list, with labels; a class may be missing."""
    groups = [files.get(folder, []) for folder in classes.values()]
    labels = np.repeat(np.arange(len(groups)), [len(group) for group in groups])
    return [path for group in groups for path in group], labels.astype(np.int64)


def _thinned_in_words(dataset: dict[str, Any]) -> str:
    """Say what `max_train` and `max_test` did."""
    given = [f"{key} {dataset[key]}" for key in ("max_train", "max_test") if dataset.get(key)]
    return f"; at most {', '.join(given)}, by split_seed {dataset['split_seed']}" if given else ""
