"""Datasets without an official split, so many training images a class: Caltech and Birdsnap."""

from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.listing import Listing
from robust_transfer.images.published.gather import Pairs, broken, gather, lines_of, needed
from robust_transfer.images.splits import split_validation

TEST_SHARE = 0.2  # of the paper's own division of Birdsnap: 8,171 of 40,848


def list_caltech101(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Caltech-101 without its background class, 30 training images a class.

    Split `paper`: the first 30 by name. `standard`: 30 drawn by `split_seed` (Fei-Fei et al.).
    """
    # The archive of 2022 holds a folder more, which older ones did not.
    root = root / "caltech-101" if (root / "caltech-101").is_dir() else root
    folder = needed(root / "101_ObjectCategories", dataset)
    return _first_or_drawn(root, folder, dataset, 30, without=("BACKGROUND_Google",))


def list_caltech256(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Caltech-256 with its clutter class, 60 training images a class.

    Split `paper`: the first 60 by name. `standard`: 60 drawn by `split_seed` (Griffin et al.).
    """
    folder = needed(root / "256_ObjectCategories", dataset)
    return _first_or_drawn(root, folder, dataset, 60, without=())


def _first_or_drawn(
    root: Path, folder: Path, dataset: dict[str, Any], count: int, without: tuple[str, ...]
) -> Listing:
    """Give each class so many training images, all its others to test."""
    drawn = dataset.get("split") == "standard"
    rng = np.random.default_rng(_seed(dataset)) if drawn else None
    train: list[tuple[str, str]] = []
    test: list[tuple[str, str]] = []
    for each in sorted(path for path in folder.iterdir() if path.is_dir()):
        if each.name in without or each.name.startswith("."):
            continue
        # 198.spider of Caltech-256 holds a stray file, RENAME2: only .jpg files are images.
        names = sorted(file.name for file in each.iterdir() if file.suffix.lower() == ".jpg")
        if len(names) <= count:
            raise DataError(
                f"dataset '{dataset['name']}', {each}: {len(names)} images, where {count} are to "
                "be trained on and some must be left for the test. Unpack the archive again."
            )
        pairs = [(f"{folder.name}/{each.name}/{name}", each.name) for name in names]
        order = rng.permutation(len(pairs)) if rng else np.arange(len(pairs))
        train += [pairs[row] for row in sorted(order[:count])]
        test += [pairs[row] for row in sorted(order[count:])]
    words = f"{count} a class drawn by split_seed {dataset.get('split_seed')}"
    return gather(
        root, train, test, dataset, split=words if drawn else f"the first {count} a class"
    )


def list_birdsnap(root: Path, dataset: dict[str, Any]) -> Listing:
    """List Birdsnap; photos that could not be fetched are left out, and counted.

    Split `standard`: the official test_images.txt. `paper`: a fifth of each species drawn by
    `split_seed`; the paper's own draw was never published, its sizes are these.
    """
    species = {}
    species_file, images_file = root / "species.txt", root / "images.txt"
    for line in lines_of(species_file, dataset)[1:]:
        cells = line.split("\t")
        if len(cells) < 2:
            raise broken(species_file, line, "<id> <common name> ... between tabs")
        species[cells[0]] = cells[1]
    listed: list[tuple[str, str]] = []
    paths: set[str] = set()
    header, *rows = lines_of(images_file, dataset)
    columns = header.split("\t")
    if not {"path", "species_id"} <= set(columns):
        raise broken(images_file, header, "url, md5, path, species_id ... between tabs")
    for line in rows:
        row = dict(zip(columns, line.split("\t"), strict=False))
        if row.get("species_id") not in species:
            raise broken(images_file, line, f"a species_id of {species_file.name}")
        paths.add(row["path"])
        if (root / "images" / row["path"]).is_file():
            listed.append((f"images/{row['path']}", species[row["species_id"]]))
    if not listed:
        needed(root / "images", dataset)
        raise DataError(f"{images_file}: none of its {len(rows)} images lies below {root}/images.")
    train, test, words = _birdsnap_split(root, listed, paths, dataset)
    words += f"; {len(rows) - len(listed)} of {len(rows)} images could not be had"
    return gather(root, train, test, dataset, split=words)


def _birdsnap_split(
    root: Path, listed: Pairs, paths: set[str], dataset: dict[str, Any]
) -> tuple[Pairs, Pairs, str]:
    """Split the photos that there are."""
    if dataset.get("split") == "standard":
        test_file = root / "test_images.txt"
        named = [line.strip() for line in lines_of(test_file, dataset)]
        held_out = set(named[1:] if named[0] == "path" else named)
        unknown = sorted(held_out - paths)
        if unknown:
            raise broken(test_file, unknown[0], "a path of images.txt")
        test = [pair for pair in listed if pair[0].removeprefix("images/") in held_out]
        train = [pair for pair in listed if pair[0].removeprefix("images/") not in held_out]
        learned = {name for _, name in train}
        return train, [pair for pair in test if pair[1] in learned], "official test images"
    names = [name for _, name in listed]
    kept, out = split_validation(np.array(names), fraction=TEST_SHARE, seed=_seed(dataset))
    words = f"a fifth drawn by split_seed {dataset['split_seed']}"
    return [listed[row] for row in kept], [listed[row] for row in out], words


def _seed(dataset: dict[str, Any]) -> int:
    """Return the seed of a split that is drawn."""
    if dataset.get("split_seed") is None:
        raise DataError(
            f"dataset '{dataset['name']}': this split is drawn by chance. Add split_seed: 0."
        )
    return int(dataset["split_seed"])
