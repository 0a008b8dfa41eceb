"""The digest of the code that a script runs: by syntax tree, through all project imports.

What a reader sees and Python does not (comments, docstrings, layout, file times) changes no digest;
any other change of a module changes the digest of exactly the scripts whose imports reach it.

The tree is written out here rather than by `ast.dump`, whose text differs between Python versions:
empty fields are left out, so that fields which a later version adds change nothing.
"""

import ast
import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

from robust_transfer.records.imports import CodeError, Project

IGNORED_FIELDS = {"kind", "type_comment", "ctx"}  # spelling, comment, and what the place implies
WITH_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def code_digest(script: str | Path, package_root: str | Path, *, extra: Iterable[str] = ()) -> str:
    """Return the digest of a script and of every project module that it imports, transitively.

    Args:
        script: a Python file.
        package_root: the folder that holds the package `robust_transfer`.
        extra: more text that decides what runs, such as a shell command.

    Returns:
        64 hexadecimal digits, independent of where the project lies.

    Raises:
        CodeError: a file is missing or no valid Python, or an imported module does not exist.
    """
    lines = [f"{name} {digest}" for name, digest in digest_modules(script, package_root).items()]
    lines += [f"extra {hashlib.sha256(text.encode()).hexdigest()}" for text in extra]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def digest_modules(script: str | Path, package_root: str | Path) -> dict[str, str]:
    """Return the digest of each module that `code_digest` combines.

    Args:
        script: a Python file.
        package_root: the folder that holds the package `robust_transfer`.

    Returns:
        SHA-256 by module name, sorted; the script stands under its path below `package_root`, and
        a file that is no Python, in the folder of an imported package, under its path too.

    Raises:
        CodeError: as `code_digest`.
    """
    script = Path(script)
    project = Project(Path(package_root), lambda path: _parsed(path)[0])
    inside = script.is_relative_to(project.root)
    label = script.relative_to(project.root).as_posix() if inside else script.name
    found = {label: _parsed(script)[1]}
    waiting = set(project.imports(script, package=None))
    while waiting:
        module = waiting.pop()
        path = project.file_of(module)
        if path is None:  # a package without `__init__.py`: it runs nothing
            continue
        found[module] = _parsed(path)[1]
        is_package = path.name == "__init__.py"
        package = module if is_package else module.rpartition(".")[0]
        waiting |= set(project.imports(path, package=package)) - found.keys()
        if is_package:
            found |= _data_files(path.parent, project.root)
    return dict(sorted(found.items()))


def _parsed(path: Path) -> tuple[ast.Module, str]:
    """Return syntax tree and digest of a file."""
    try:
        return _parse_source(path.read_bytes())
    except OSError as error:
        raise CodeError(f"{path}: cannot be read ({error.strerror}).") from error
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        raise CodeError(
            f"{path}{f', line {line}' if line else ''}: not valid Python: "
            f"{getattr(error, 'msg', error)}. Correct the file; no rule that imports it can run."
        ) from error


@functools.cache
def _parse_source(source: bytes) -> tuple[ast.Module, str]:
    """Parse a module once a process; keyed by content, so that an edit is never missed."""
    tree = ast.parse(source)
    written: list[str] = []
    _write(tree, written)
    text = "".join(written).encode("utf-8", "backslashreplace")
    return tree, hashlib.sha256(text).hexdigest()


def _write(node: ast.AST, written: list[str]) -> None:
    """Write a tree out, without positions, docstrings and empty fields.

    Args:
        node: the tree.
        written: receives the pieces of text.
    """
    written.append(f"({type(node).__name__}")
    for field, value in ast.iter_fields(node):
        if field in IGNORED_FIELDS:
            continue
        if isinstance(value, ast.AST):
            written.append(f" {field}=")
            _write(value, written)
        elif isinstance(value, list):
            elements = value[1:] if field == "body" and _has_docstring(node) else value
            if elements:
                written.append(f" {field}=[")
                for element in elements:
                    if isinstance(element, ast.AST):
                        _write(element, written)
                    else:  # a name of `global`, or the None before ** in a dictionary
                        written.append(f"{element!r},")
                written.append("]")
        elif value is not None or isinstance(node, ast.Constant):
            written.append(f" {field}={value!r}")
    written.append(")")


def _has_docstring(node: ast.AST) -> bool:
    if not isinstance(node, WITH_DOCSTRING) or not node.body:
        return False
    first = node.body[0]
    return (
        isinstance(first, ast.Expr)
        and isinstance(first.value, ast.Constant)
        and isinstance(first.value.value, str)
    )


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
            name = path.relative_to(root).as_posix()
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif path.is_dir() and not (path / "__init__.py").exists():
            found |= _data_files(path, root)
    return found
