"""Datasets that are named must be defined, once, and lie where the config says."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from robust_transfer.config.data import FolderDataset, PublishedDataset, TableDataset
from robust_transfer.config.problems import Problem, listed
from robust_transfer.config.published_checks import (
    check_published,
    check_table,
    published_missing,
    table_missing,
)
from robust_transfer.config.raw import items_at, names_at, read_section, value_at
from robust_transfer.errors import did_you_mean


def check_datasets(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield names that are used but not defined, names given twice, splits that contradict.

    Args:
        config: may be wrong elsewhere.
    """
    defined = names_at(config, "data", "datasets")
    yield from _twice("data.datasets", defined, "Give each dataset its own name.")
    targets = names_at(config, "transfer", "datasets")
    yield from _twice(
        "transfer.datasets", targets, "Name each once; `resolutions` takes several values."
    )
    names = [name for _, name in defined]
    source = value_at(config, "pretrain", "source")
    if isinstance(source, str) and trains_here(config):
        yield from _undefined("pretrain.source", source, names)
    for place, name in targets:
        yield from _undefined(f"transfer.datasets[{place}]", name, names)
    for place, item in enumerate(items_at(config, "data", "datasets")):
        folder = read_section(item, FolderDataset)
        if folder:
            yield from _contradictions(f"data.datasets[{place}] ({folder.name})", folder)
        published = read_section(item, PublishedDataset)
        if published:
            yield from check_published(f"data.datasets[{place}] ({published.name})", published)
        table = read_section(item, TableDataset)
        if table:
            yield from check_table(f"data.datasets[{place}] ({table.name})", table)


def trains_here(config: dict[str, Any]) -> bool:
    """Tell whether a backbone needs the images of the source.

    Args:
        config: may be wrong elsewhere.
    """
    weights = [value_at(each, "weights") for each in items_at(config, "pretrain", "backbones")]
    return any(not each or value_at(each, "check") for each in weights)


def _twice(key: str, named: list[tuple[int, str]], fix: str) -> Iterator[Problem]:
    first: dict[str, int] = {}
    for place, name in named:
        if name in first:
            yield Problem(
                f"{key}[{place}]", f"dataset '{name}' stands already in [{first[name]}]", fix
            )
        first.setdefault(name, place)


def _undefined(key: str, name: str, names: list[str]) -> Iterator[Problem]:
    if name not in names:
        yield Problem(
            key,
            f"unknown dataset '{name}'",
            f"data.datasets defines {listed(names)}.{did_you_mean(name, names)}",
        )


def _contradictions(key: str, folder: FolderDataset) -> Iterator[Problem]:
    if folder.test_folder and folder.test_fraction:
        yield Problem(
            key,
            "both test_folder and test_fraction",
            "Test images come either from a folder or from a split: remove one of the two.",
        )
    drawn = [
        name
        for name in ("test_fraction", "max_train", "max_test")
        if getattr(folder, name) is not None
    ]
    if drawn and folder.split_seed is None:
        yield Problem(
            key, f"{drawn[0]} without split_seed", "What is drawn at random needs a seed."
        )
    if folder.split_seed is not None and not drawn:
        yield Problem(
            key,
            "split_seed without test_fraction, max_train or max_test",
            "Nothing is drawn at random: remove it, or say what is.",
        )


def check_files(config: dict[str, Any]) -> Iterator[Problem]:
    """Yield the folders and files that the study reads and that do not exist.

    Args:
        config: may be wrong elsewhere.
    """
    root = value_at(config, "data_root")
    used = {name for _, name in names_at(config, "transfer", "datasets")}
    if trains_here(config):
        used.add(str(value_at(config, "pretrain", "source")))
    for place, item in enumerate(items_at(config, "data", "datasets")):
        folder = read_section(item, FolderDataset)
        if folder and folder.name in used and isinstance(root, str):
            yield from _no_folder(f"data.datasets[{place}].path ({folder.name})", root, folder.path)
        published = read_section(item, PublishedDataset)
        if published and published.name in used and isinstance(root, str):
            key = f"data.datasets[{place}] ({published.name})"
            yield from published_missing(key, root, published)
        table = read_section(item, TableDataset)
        if table and table.name in used and isinstance(root, str):
            yield from table_missing(f"data.datasets[{place}].path ({table.name})", root, table)
    for place, name in enumerate(items_at(config, "analysis", "external_accuracy")):
        if isinstance(name, str) and not os.path.isfile(name):
            yield Problem(
                f"analysis.external_accuracy[{place}]",
                f"no file '{name}'",
                f"Looked for {Path(name).absolute()}. Correct the path; it counts from the folder "
                "that the study is started in.",
            )


def _no_folder(key: str, root: str, path: str) -> Iterator[Problem]:
    looked_for = (Path(root) / path).absolute()
    if looked_for.is_dir():
        return
    nearest = next(parent for parent in looked_for.parents if parent.is_dir())
    missing = looked_for.relative_to(nearest).parts[0]
    beside = sorted(each.name for each in nearest.iterdir() if each.is_dir())
    yield Problem(
        key,
        f"no folder '{path}' below data_root '{root}'",
        f"Looked for {looked_for}; {nearest} exists but holds no '{missing}'. Put the images "
        "there, or set data_root (in the config, or by --config on the command line) to the "
        f"folder that holds them.{did_you_mean(missing, beside)}",
    )
