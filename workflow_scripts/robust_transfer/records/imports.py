"""Which modules of the project a file imports, and which files a script so runs."""

import functools
from collections.abc import Callable, Iterator
from pathlib import Path

from robust_transfer.errors import UserError, did_you_mean
from robust_transfer.records.source import Import, Source

PACKAGE = "robust_transfer"
ALWAYS_BOUND = {"__doc__", "__file__", "__name__", "__path__"}


class CodeError(UserError):
    """Code of the project cannot be read, or imports a module that does not exist."""


class Project:
    """The modules of a project, each looked at once.

    Args:
        root: the folder that holds the package `robust_transfer`.
        read: from a path to what the file says.
    """

    def __init__(self, root: Path, read: Callable[[Path], Source]) -> None:
        self.root, self.read = root, read
        self.file_of = functools.cache(self._file_of)
        self.imports = functools.cache(self._imports)

    def _file_of(self, module: str) -> Path | None:
        """Return the file of a module or package; None where there is none."""
        path = self.root.joinpath(*module.split("."))
        candidates = (path / "__init__.py", path.with_name(f"{path.name}.py"))
        return next((candidate for candidate in candidates if candidate.is_file()), None)

    def modules(self) -> list[str]:
        """Return the name of every module of the package."""
        files = (self.root / PACKAGE).rglob("*.py")
        names = (".".join(file.relative_to(self.root).with_suffix("").parts) for file in files)
        return sorted(name.removesuffix(".__init__") for name in names)

    def _imports(self, path: Path, package: str | None) -> frozenset[str]:
        """Return the modules of the project that a file imports, and the packages above them.

        Imports inside functions count, and `import_module("robust_transfer.x")`; what stands under
        `if TYPE_CHECKING:` does not.

        Args:
            path: a Python file.
            package: what its relative imports count from; None for a script.

        Raises:
            CodeError: the file imports a module of the project that does not exist.
        """
        found = set()
        for statement in self.read(path).imports:
            for module in self._named(statement, path, package):
                if self.file_of(module) is None:
                    raise CodeError(
                        f"{path}, line {statement.line}: imports {module}, which "
                        f"does not exist.{did_you_mean(module, self.modules())}"
                    )
                parts = module.split(".")
                found |= {".".join(parts[:end]) for end in range(1, len(parts) + 1)}
        return frozenset(found)

    def _named(self, statement: Import, path: Path, package: str | None) -> Iterator[str]:
        """Yield the modules of the project that one statement names."""
        if statement.base is None:
            yield from filter(_is_ours, statement.names)
            return
        base = _base(statement, path, package)
        if _is_ours(base):
            yield base
            yield from self._members(base, statement)

    def _members(self, base: str, statement: Import) -> Iterator[str]:
        """Yield the names of a from-import that are modules, or must be: nothing defines them."""
        file = self.file_of(base)
        if file is None or file.name != "__init__.py":
            return
        for name in statement.names:
            member = f"{base}.{name}"
            if name != "*" and (self.file_of(member) or not self._defines(file, name)):
                yield member

    def _defines(self, file: Path, name: str) -> bool:
        """Tell whether a package's `__init__.py` binds a name."""
        bound = ALWAYS_BOUND.union(self.read(file).bound)
        return name in bound or bool(bound & {"*", "__getattr__"})


def _is_ours(module: str) -> bool:
    return module.split(".")[0] == PACKAGE


def _base(statement: Import, path: Path, package: str | None) -> str:
    """Return the absolute name of what a from-import imports from."""
    assert statement.base is not None
    if not statement.level:
        return statement.base
    above = package.split(".") if package else []
    kept = len(above) - (statement.level - 1)
    if kept < 1 or not above:
        raise CodeError(
            f"{path}, line {statement.line}: a relative import that leads out of the package. "
            f"Write `from {PACKAGE}.… import …`."
        )
    return ".".join(above[:kept] + ([statement.base] if statement.base else []))
