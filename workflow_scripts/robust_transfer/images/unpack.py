"""Unpacking archives that one need not trust: nothing is written outside the folder."""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from robust_transfer.errors import DataError

#: What refuses a member; Python knows it from 3.11.4 on.
_REFUSED: Any = getattr(tarfile, "FilterError", ())
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
            _untar(archive, folder)
        else:
            (folder / archive.name).write_bytes(archive.read_bytes())
    except _REFUSED as error:
        raise _leads_out(archive, folder, str(error)) from None
    except _DAMAGED as error:
        raise DataError(
            f"{archive}: cannot be unpacked: {error or type(error).__name__}.\n"
            "  The archive is truncated or damaged: remove it and run again."
        ) from None


def _untar(archive: Path, folder: Path) -> None:
    """Unpack a tar."""
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            # "data" takes a leading "/" away, and refuses "..", devices and links that lead out.
            tar.extractall(folder, filter="data")
        else:
            tar.extractall(folder, members=_plain_members(tar, archive, folder))


def _plain_members(tar: tarfile.TarFile, archive: Path, folder: Path) -> Iterator[tarfile.TarInfo]:
    """Do as `data` does, for Python before 3.11.4; links are refused wherever they lead."""
    for member in tar:
        member.name = member.name.lstrip("/")
        if ".." in PurePosixPath(member.name).parts or not (member.isreg() or member.isdir()):
            raise _leads_out(archive, folder, f"'{member.name}'")
        yield member


def _leads_out(archive: Path, folder: Path, member: str) -> DataError:
    return DataError(
        f"{archive}: a member would be written outside {folder} ({member}).\n"
        "  This is not the published archive: remove it."
    )


def _unzip(archive: Path, folder: Path) -> list[Path]:
    """Unpack a zip; return the files written."""
    with zipfile.ZipFile(archive) as zipped:
        for member in zipped.namelist():
            parts = PurePosixPath(member).parts
            if ".." in parts or "\\" in member or PurePosixPath(member).is_absolute():
                raise _leads_out(archive, folder, f"'{member}'")
        zipped.extractall(folder)
        return [folder / member for member in zipped.namelist() if not member.endswith("/")]
