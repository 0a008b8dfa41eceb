"""Published datasets: options that fit their kind, files that lie where they must."""

from collections.abc import Iterator
from pathlib import Path

from robust_transfer.config.data import PublishedDataset, TableDataset
from robust_transfer.config.problems import Problem, listed
from robust_transfer.config.published import published_datasets

PARTITIONED = ("dtd", "sun397")
DRAWN = {"birdsnap": "paper", "caltech101": "standard", "caltech256": "standard"}


def check_published(key: str, given: PublishedDataset) -> Iterator[Problem]:
    """Yield options that the kind does not have, and draws without a seed.

    Args:
        key: where it stands in the config.
        given: its definition.
    """
    known = published_datasets()[given.kind]
    split = given.split or "paper"
    if split not in known.splits:
        yield Problem(
            key, f"split '{split}' of {given.kind}", f"It has one split: {listed(known.splits)}."
        )
    if given.partition and given.kind not in PARTITIONED:
        yield Problem(
            key, f"partition of {given.kind}", f"Only {' and '.join(PARTITIONED)} have partitions."
        )
    drawn = DRAWN.get(given.kind) == split or given.max_train or given.max_test
    if drawn and given.split_seed is None:
        yield Problem(
            key, "images drawn without split_seed", "What is drawn at random needs a seed."
        )
    if given.split_seed is not None and not drawn:
        yield Problem(
            key,
            "split_seed without anything to draw",
            f"The {split} split of {given.kind} is fixed: remove it, or say what is drawn.",
        )
    if given.download and not known.archives:
        yield Problem(f"{key}.download", "nothing can be downloaded", known.how_to_get())
    if given.download and given.path:
        yield Problem(
            key, "both path and download", "A download goes to its own folder: remove path."
        )


def check_table(key: str, given: TableDataset) -> Iterator[Problem]:
    """Yield draws without a seed.

    Args:
        key: where it stands in the config.
        given: its definition.
    """
    for name in ("test_fraction", "max_train", "max_test"):
        if getattr(given, name) is not None and given.split_seed is None:
            yield Problem(
                key, f"{name} without split_seed", "What is drawn at random needs a seed."
            )
            return


def table_missing(key: str, root: str, given: TableDataset) -> Iterator[Problem]:
    """Yield a CSV file that is not on disk.

    Args:
        key: where it stands in the config.
        root: `data_root`.
        given: its definition.
    """
    path = (Path(root) / given.path).absolute()
    if not path.is_file():
        words = "It must be a CSV file with columns path and label, and maybe split."
        yield Problem(key, f"no file {path}", words)


def published_missing(key: str, root: str, given: PublishedDataset) -> Iterator[Problem]:
    """Yield a dataset that is not on disk and will not be fetched.

    Args:
        key: where it stands in the config.
        root: `data_root`.
        given: its definition.
    """
    known = published_datasets()[given.kind]
    folder = (Path(root) / (given.path or known.folder)).absolute()
    if not given.download and not folder.is_dir():
        yield Problem(key, f"no folder {folder}", known.how_to_get())
