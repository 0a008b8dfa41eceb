"""Unpacking archives that one need not trust: nothing is written outside the folder."""

import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath

from robust_transfer.errors import DataError

_DAMAGED = (tarfile.TarError, zipfile.BadZipFile, EOFError, zlib.error, OSError)


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a .tar, .tar.gz, .tgz, .tar.xz or .zip, and archives that a .zip holds.

    Args:
        archive: what to unpack; any other file is only copied.
        folder: where to; made when it is missing.

    Raises:
        DataError: the archive is damaged, or a member would leave the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name = archive.name.lower()
    try:
        if name.endswith(".zip"):
            for member in _unzip(archive, folder):
                if member.name.lower().endswith((".tar", ".tar.gz", ".tgz")):
                    unpack(member, member.parent)
        elif name.endswith((".tar", ".tar.gz", ".tgz", ".tar.xz")):
            with tarfile.open(archive) as tar:
                # "data" refuses absolute names, "..", devices and links that lead out.
                tar.extractall(folder, filter="data")
        else:
            (folder / archive.name).write_bytes(archive.read_bytes())
    except tarfile.FilterError as error:
        raise DataError(
            f"{archive}: a member would be written outside {folder} ({error}).\n"
            "  This is not the published archive: remove it."
        ) from None
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: cannot be unpacked: {error or type(error).__name__}.\n"
            "  The archive is truncated or damaged: remove it and run again."
        ) from None


def _unzip(archive: Path, folder: Path) -> list[Path]:
    """Unpack a zip; return the files written."""
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.namelist():
            parts = PurePosixPath(member).parts
            if ".." in parts or "\\" in member or PurePosixPath(member).is_absolute():
                raise DataError(
                    f"{archive}: a member would be written outside {folder} ('{member}').\n"
                    "  This is not the published archive: remove it."
                )
        zipped.extractall(folder)
        return [folder / member for member in zipped.namelist() if not member.endswith("/")]
