"""Which modules of the project a file imports, read from its syntax tree."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from robust_transfer.errors import UserError, did_you_mean

PACKAGE = "robust_transfer"


class CodeError(UserError):
    """Code of the project cannot be read, or imports a module that does not exist."""


@dataclass(frozen=True)
class Project:
    """Where the package lies and how one of its files becomes a tree.

    Attributes:
        root: the folder that holds the package `robust_transfer`.
        parse: path to syntax tree.
    """

    root: Path
    parse: Callable[[Path], ast.Module]

    def file_of(self, module: str) -> Path | None:
        """Return the file of a module or package; None where there is none."""
        path = self.root.joinpath(*module.split("."))
        candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
        return next((candidate for candidate in candidates if candidate.is_file()), None)

    def modules(self) -> list[str]:
        """Return the name of every module of the package."""
        files = (self.root / PACKAGE).rglob("*.py")
        names = (".".join(file.relative_to(self.root).with_suffix("").parts) for file in files)
        return sorted(name.removesuffix(".__init__") for name in names)

    def imports(self, path: Path, *, package: str | None) -> Iterator[str]:
        """Yield the modules of the project that a file imports, and the packages above them.

        Imports inside functions count, and `import_module("robust_transfer.x")`; what stands under
        `if TYPE_CHECKING:` does not.

        Args:
            path: a Python file.
            package: what its relative imports count from; None for a script.

        Raises:
            CodeError: the file imports a module of the project that does not exist.
        """
        for node in _executed(self.parse(path)):
            for module in self._named(node, path, package):
                if self.file_of(module) is None:
                    raise CodeError(
                        f"{path}, line {getattr(node, 'lineno', '?')}: imports {module}, which "
                        f"does not exist.{did_you_mean(module, self.modules())}"
                    )
                parts = module.split(".")
                yield from (".".join(parts[:end]) for end in range(1, len(parts) + 1))

    def _named(self, node: ast.AST, path: Path, package: str | None) -> Iterator[str]:
        """Yield the modules of the project that one node names."""
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if _is_ours(alias.name))
        elif isinstance(node, ast.ImportFrom):
            base = _base(node, path, package)
            if _is_ours(base):
                yield base
                yield from self._members(base, node)
        elif isinstance(node, ast.Call) and _called(node) in ("import_module", "__import__"):
            given = node.args[0] if node.args else None
            if isinstance(given, ast.Constant) and _is_ours(str(given.value)):
                yield str(given.value)

    def _members(self, base: str, statement: ast.ImportFrom) -> Iterator[str]:
        """Yield the names of a from-import that are modules, or must be: nothing defines them."""
        file = self.file_of(base)
        if file is None or file.name != "__init__.py":
            return
        for alias in statement.names:
            member = f"{base}.{alias.name}"
            if alias.name != "*" and (self.file_of(member) or not self._defines(file, alias.name)):
                yield member

    def _defines(self, file: Path, name: str) -> bool:
        """Tell whether a package's `__init__.py` binds a name."""
        bound = {"__doc__", "__file__", "__name__", "__path__"}
        for node in ast.walk(self.parse(file)):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                bound.add(node.id)
            elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                bound.add(node.name)
            elif isinstance(node, ast.Import | ast.ImportFrom):
                bound |= {(alias.asname or alias.name).split(".")[0] for alias in node.names}
        return name in bound or bool(bound & {"*", "__getattr__"})


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def _called(call: ast.Call) -> str | None:
    """Return the last name of what is called."""
    called = call.func
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", None)


def _base(statement: ast.ImportFrom, path: Path, package: str | None) -> str:
    """Return the absolute name of what a from-import imports from."""
    if not statement.level:
        return statement.module or ""
    above = package.split(".") if package else []
    kept = len(above) - (statement.level - 1)
    if kept < 1 or not above:
        raise CodeError(
            f"{path}, line {statement.lineno}: a relative import that leads out of the package. "
            f"Write `from {PACKAGE}.… import …`."
        )
    return ".".join(above[:kept] + ([statement.module] if statement.module else []))


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
