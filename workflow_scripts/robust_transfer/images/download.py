"""Downloads that go on where they stopped, and that are checked before they are used."""

import hashlib
import http.client
import urllib.error
import urllib.request
from pathlib import Path

from robust_transfer.errors import DataError
from robust_transfer.progress import progress

_BLOCK = 1 << 20  # bytes
_TRIES = 5  # connections in a row that may break before we give up
_SECONDS = 60  # of silence that end a connection


def download(url: str, path: Path, checksum: str = "") -> str:
    """Fetch a file; what a broken connection left is gone on from, now or in another run.

    Args:
        url: http, https or file.
        path: where to; a part lies beside it as `<name>.part` until it is whole and checked.
        checksum: `md5:<hex>` or `sha256:<hex>`; empty: not checked.

    Returns:
        The SHA-256 of the file, hexadecimal.

    Raises:
        DataError: the address does not answer, or the file is not the one that was published.
    """
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        for left in reversed(range(_TRIES)):
            try:
                _fetch(url, part)
                break
            except urllib.error.HTTPError as error:
                if error.code == 416 and part.is_file():  # the part is the whole file already
                    break
                raise _refused(url, path, f"{error.code} {error.reason}") from None
            except (OSError, http.client.HTTPException) as error:
                if not left:
                    raise _refused(url, path, str(error)) from None
        _check(url, part, checksum)
        part.rename(path)
    return _check(url, path, checksum)


def _refused(url: str, path: Path, reason: str) -> DataError:
    return DataError(
        f"{url}: cannot be fetched: {reason}.\n  Run again to go on from where it stopped, or put "
        f"the file at {path} yourself."
    )


def _fetch(url: str, part: Path) -> None:
    """Append to the part what is still missing; raise where the connection ends early."""
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
    with urllib.request.urlopen(request, timeout=_SECONDS) as answer:
        resumed = getattr(answer, "status", None) == 206
        length = answer.headers.get("Content-Length")
        expected = None if length is None else int(length) + (start if resumed else 0)
        with part.open("ab" if resumed else "wb") as stream:
            blocks = iter(lambda: answer.read(_BLOCK), b"")
            total = -(-int(length or 0) // _BLOCK)
            for block in progress(blocks, total=total, label=url.rpartition("/")[2]):
                stream.write(block)
    if expected is not None and part.stat().st_size < expected:
        raise OSError(f"the connection ended after {part.stat().st_size} of {expected} bytes")


def _check(url: str, path: Path, checksum: str) -> str:
    """Compare with the checksum and return the SHA-256; a wrong file is removed."""
    kind, _, expected = checksum.partition(":")
    sha = hashlib.sha256()
    named = hashlib.new(kind, usedforsecurity=False) if checksum else sha
    with path.open("rb") as stream:
        for block in iter(lambda: stream.read(_BLOCK), b""):
            sha.update(block)
            if named is not sha:
                named.update(block)
    if checksum and named.hexdigest() != expected.lower():
        path.unlink()
        raise DataError(
            f"{path}: its {kind} is {named.hexdigest()}, published is {expected} ({url}).\n"
            "  The file was damaged on its way, or is another one; it was removed. Run again."
        )
    return sha.hexdigest()
