"""Fetching a published dataset: its archives, checked and unpacked to their original layout."""

import sys
from pathlib import Path
from typing import Any

from robust_transfer.config.published import published_datasets
from robust_transfer.errors import DataError
from robust_transfer.files import write_json
from robust_transfer.images.download import download
from robust_transfer.images.published.read import list_published
from robust_transfer.images.unpack import unpack

SCHEMA_VERSION = 1


def fetch_dataset(kind: str, data_root: str | Path, record: str | Path) -> None:
    """Download and unpack a dataset, unless it already lies where it must.

    Args:
        kind: as the table of datasets calls it.
        data_root: folder below which datasets lie; archives are kept in `.downloads/` there.
        record: where to say what was found (.json); the same whoever put it there.

    Raises:
        DataError: nothing can be downloaded, a download fails, or what came is not the dataset.
    """
    published, root = published_datasets()[kind], Path(data_root)
    definition = {"name": kind, "kind": kind, "split_seed": 0}
    if not (root / published.folder).is_dir() or not _is_whole(definition, root):
        if not published.archives:
            raise DataError(f"dataset '{kind}': {published.how_to_get()}")
        for archive in published.archives:
            path = root / ".downloads" / archive.url.rpartition("/")[2]
            digest = download(archive.url, path, archive.checksum)
            print(f"{path}: SHA-256 {digest}", file=sys.stderr)
            unpack(path, root / archive.below)
    listing = list_published(definition, root)
    found = {"images": len(listing), "n_train": listing.n_train, "classes": len(listing.classes)}
    write_json(record, {"schema_version": SCHEMA_VERSION, "kind": kind, **found})


def _is_whole(definition: dict[str, Any], root: Path) -> bool:
    """Say whether the dataset can be listed."""
    try:
        list_published(definition, root)
    except DataError:
        return False
    return True
