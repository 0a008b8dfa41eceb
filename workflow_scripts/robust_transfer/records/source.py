"""What one file of code says to a digest: its syntax tree, what it imports and what it binds.

The tree is written out here rather than by `ast.dump`, whose text differs between Python versions:
empty fields are left out, so that fields which a later version adds change nothing.
"""

import ast
import functools
import hashlib
from collections.abc import Iterator
from typing import Any, NamedTuple

IGNORED_FIELDS = {"kind", "type_comment", "ctx"}  # spelling, comment, and what the place implies
WITH_DOCSTRING = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One statement or call that imports.

    Attributes:
        line: where it stands.
        names: modules; of a from-import what is taken from `base`.
        base: what a from-import names after `from`; None: no from-import.
        level: its leading dots.
    """

    line: int
    names: list[str]
    base: str | None = None
    level: int = 0


class Source(NamedTuple):
    """What a file of code says.

    Attributes:
        digest: SHA-256 of its syntax tree, without positions and docstrings.
        imports: all that runs; what stands under `if TYPE_CHECKING:` does not.
        bound: the names that it binds, anywhere; `*`: a from-import of everything.
    """

    digest: str
    imports: list[Import]
    bound: list[str]

    @classmethod
    def of_builtins(cls, given: list[Any]) -> "Source":
        """Return what JSON made a list of."""
        digest, imports, bound = given
        return cls(digest, [Import(*each) for each in imports], bound)


@functools.cache
def read_source(text: bytes) -> Source:
    """Parse a file of code; once a process, by content, so that an edit is never missed.

    Args:
        text: of a Python file.

    Raises:
        SyntaxError, ValueError: it is none.
    """
    tree = ast.parse(text)
    written: list[str] = []
    _write(tree, written)
    whole = "".join(written).encode("utf-8", "backslashreplace")
    imports = [each for node in _executed(tree) for each in _imports(node)]
    return Source(hashlib.sha256(whole).hexdigest(), imports, sorted(_bound(tree)))


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


def _executed(node: ast.AST) -> Iterator[ast.AST]:
    """Walk a tree, without what stands there for type checkers alone."""
    waiting = [node]
    while waiting:
        node = waiting.pop()
        yield node
        if isinstance(node, ast.If) and _is_type_checking(node.test):
            waiting += node.orelse
        else:
            waiting += ast.iter_child_nodes(node)


def _is_type_checking(test: ast.expr) -> bool:
    name = test.attr if isinstance(test, ast.Attribute) else getattr(test, "id", None)
    return name == "TYPE_CHECKING"


def _imports(node: ast.AST) -> Iterator[Import]:
    """Yield what one node imports; `import_module("x")` counts."""
    if isinstance(node, ast.Import):
        yield Import(node.lineno, [alias.name for alias in node.names])
    elif isinstance(node, ast.ImportFrom):
        names = [alias.name for alias in node.names]
        yield Import(node.lineno, names, node.module or "", node.level)
    elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
        given = node.args[0] if node.args else None
        if isinstance(given, ast.Constant):
            yield Import(node.lineno, [str(given.value)])


def _called(call: ast.Call) -> str | None:
    """Return the last name of what is called."""
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)


def _bound(tree: ast.Module) -> set[str]:
    """Return the names that a module binds, in any scope."""
    bound = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
    return bound
