"""What lies in a folder of images, by name and size, without opening a file."""

import hashlib
import json
import os

from robust_transfer.records.ledger import Ledger


def listing_digest(folder: str, ledger: Ledger) -> str | None:
    """Return a digest of the names and sizes of all files below a folder.

    A folder whose status has not changed is not listed again, so that a million images cost a look
    at their folders. A file that is overwritten in place by one of the same size is not noticed
    here; the digests in the cache's `files.csv` tell.

    Args:
        folder: where the images lie; links are followed.
        ledger: remembers the listings.

    Returns:
        64 hexadecimal digits, independent of file times and of where the folder lies; None where
        there is no such folder.
    """
    if not os.path.isdir(folder):
        return None
    combined = hashlib.sha256()
    waiting = [""]
    while waiting:
        below = waiting.pop()
        files, folders = _listed(os.path.join(folder, below), ledger)
        combined.update(json.dumps([below, files]).encode())
        waiting += [os.path.join(below, name) for name in reversed(folders)]
    return combined.hexdigest()


def _listed(folder: str, ledger: Ledger) -> tuple[str, list[str]]:
    """Return the digest of a folder's own files, and the names of its folders, sorted."""
    noted = ledger.fact(folder)
    if noted is not None:
        return noted[0], noted[1]
    with os.scandir(folder) as entries:
        found = sorted((each for each in entries), key=lambda each: each.name)
    folders = [each.name for each in found if each.is_dir()]
    sizes = [(each.name, each.stat().st_size) for each in found if each.is_file()]
    digest = hashlib.sha256(json.dumps(sizes).encode()).hexdigest()
    ledger.note(folder, [digest, folders])
    return digest, folders
