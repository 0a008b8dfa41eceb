"""The digest of the code that a script runs: by syntax tree, through all project imports.

What a reader sees and Python does not (comments, docstrings, layout, file times) changes no digest;
any other change of a module changes the digest of exactly the scripts whose imports reach it.
"""

import contextlib
import functools
import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from robust_transfer.files import write_json
from robust_transfer.records.imports import CodeError, Project
from robust_transfer.records.source import Source, read_source

SCHEMA_VERSION = 1
#: The variable that names a file in which the processes of a run remember what code says.
MEMORY = "ROBUST_TRANSFER_CODE_MEMORY"


class Code:
    """The code of a project, as it is when first looked at.

    Each file is read once and parsed at most once; with a memory, not even that when it was parsed
    before: what a file says is remembered by its content, whatever its name and times.

    Args:
        root: the folder that holds the package `robust_transfer`.
        memory: a file that remembers; without one each process parses for itself.
    """

    def __init__(self, root: str | Path, memory: Path | None = None) -> None:
        self._memory = memory
        self._reader = _sha256(Path(__file__).with_name("source.py").read_bytes())
        self._known = self._remembered()
        self._used: dict[str, Source] = {}
        self._project = Project(Path(root), functools.cache(self._read))
        self._data_files = functools.cache(_data_files)

    def digest(self, script: str | Path, *, extra: Iterable[str] = ()) -> str:
        """Return the digest of a script and of every project module that it imports, transitively.

        Args:
            script: a Python file.
            extra: more text that decides what runs, such as a shell command.

        Returns:
            64 hexadecimal digits, independent of where the project lies.

        Raises:
            CodeError: a file is missing or no valid Python, or an imported module does not exist.
        """
        lines = [f"{name} {digest}" for name, digest in self.modules(script).items()]
        lines += [f"extra {_sha256(text.encode())}" for text in extra]
        return _sha256("\n".join(lines).encode())

    def modules(self, script: str | Path) -> dict[str, str]:
        """Return the digest of each module that `digest` combines.

        Args:
            script: a Python file.

        Returns:
            SHA-256 by module name, sorted; the script stands under its path below `root`, and a
            file that is no Python, in the folder of an imported package, under its path too.

        Raises:
            CodeError: as `digest`.
        """
        script, project = Path(script), self._project
        inside = script.is_relative_to(project.root)
        label = script.relative_to(project.root).as_posix() if inside else script.name
        found = {label: project.read(script).digest}
        waiting = set(project.imports(script, None))
        while waiting:
            module = waiting.pop()
            path = project.file_of(module)
            if path is None:  # a package without `__init__.py`: it runs nothing
                continue
            found[module] = project.read(path).digest
            is_package = path.name == "__init__.py"
            package = module if is_package else module.rpartition(".")[0]
            waiting |= project.imports(path, package) - found.keys()
            if is_package:
                found |= self._data_files(path.parent, project.root)
        return dict(sorted(found.items()))

    def remember(self) -> None:
        """Write the memory, if it lacks anything that was parsed; a folder may be read-only."""
        if self._memory is None or self._used.keys() <= self._known.keys():
            return
        record = {"schema_version": SCHEMA_VERSION, "reader": self._reader, "sources": self._used}
        with contextlib.suppress(OSError):
            write_json(self._memory, record)

    def _remembered(self) -> dict[str, Any]:
        """Read the memory; one that is lost, damaged or of another reader knows nothing."""
        try:
            kept = json.loads(self._memory.read_text(encoding="utf-8")) if self._memory else {}
            if (kept["schema_version"], kept["reader"]) != (SCHEMA_VERSION, self._reader):
                return {}
            return dict(kept["sources"])
        except (OSError, ValueError, KeyError, TypeError):
            return {}

    def _recall(self, key: str) -> Source | None:
        """Return what the memory says of a file: a script asks for few of the hundreds in it."""
        with contextlib.suppress(KeyError, TypeError, ValueError):
            return Source.of_builtins(self._known[key])
        return None

    def _read(self, path: Path) -> Source:
        """Return what a file says."""
        try:
            text = path.read_bytes()
            key = _sha256(text)
            self._used[key] = self._recall(key) or read_source(text)
        except OSError as error:
            raise CodeError(f"{path}: cannot be read ({error.strerror}).") from error
        except (SyntaxError, ValueError) as error:
            line = getattr(error, "lineno", None)
            raise CodeError(
                f"{path}{f', line {line}' if line else ''}: not valid Python: "
                f"{getattr(error, 'msg', error)}. Correct the file; no rule that imports it can "
                "run."
            ) from error
        return self._used[key]


def code_digest(script: str | Path, package_root: str | Path, *, extra: Iterable[str] = ()) -> str:
    """Return the digest of one script's code as it is now: see `Code.digest`."""
    return Code(package_root).digest(script, extra=extra)


def digest_modules(script: str | Path, package_root: str | Path) -> dict[str, str]:
    """Return the digests of the modules that one script runs as they are now."""
    return Code(package_root).modules(script)


def _sha256(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _data_files(folder: Path, root: Path) -> dict[str, str]:
    """Digest what is no Python in a package's folder: templates, style sheets, tables.

    Args:
        folder: of a package, or below one and no package itself.
        root: what the names count from.

    Returns:
        SHA-256 by path.
    """
    found = {}
    for path in folder.iterdir():
        if path.name.startswith((".", "__")) or path.name.endswith((".py", ".pyc", "~")):
            continue
        if path.is_file():
            found[path.relative_to(root).as_posix()] = _sha256(path.read_bytes())
        elif path.is_dir() and not (path / "__init__.py").exists():
            found |= _data_files(path, root)
    return found
