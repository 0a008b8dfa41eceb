"""Figures for tests that read them: what was drawn once in a run of the tests is copied after."""

import hashlib
import os
import pickle
import shutil
from pathlib import Path

from filelock import FileLock
from robust_transfer.figures.draw import draw_all

DRAWN = "ROBUST_TRANSFER_TESTS_DRAWN"  # the folder that the processes of a run share


def draw_once(folder, **arguments):
    """Put into a folder what `draw_all` draws of these arguments."""
    kept = Path(os.environ[DRAWN]) / _digest(arguments)
    kept.parent.mkdir(exist_ok=True)
    with FileLock(f"{kept}.lock"):
        if not kept.exists():
            shutil.rmtree(beside := kept.with_suffix(".new"), ignore_errors=True)
            draw_all(beside, **arguments)
            beside.rename(kept)
    shutil.copytree(kept, folder, dirs_exist_ok=True)


def _digest(arguments):
    """Name arguments by all that figures could depend on; files by their folder and content."""
    told = {
        name: [(Path(path).parent.name, Path(path).read_bytes()) for path in value]
        if name in ("histories", "examples", "detected") else value
        for name, value in arguments.items()
    }  # fmt: skip
    return hashlib.sha256(pickle.dumps(sorted(told.items()))).hexdigest()
