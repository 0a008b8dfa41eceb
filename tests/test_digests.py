"""Code digests: blind to what Python does not see, exact for everything else."""

import ast
import os
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from robust_transfer.errors import UserError
from robust_transfer.records.digests import Code, code_digest, digest_modules
from robust_transfer.records.source import read_source

SCRIPTS = Path(__file__).parent.parent / "workflow_scripts"

# A project in small: train reaches loop and, through it, steps; tabulate reaches tables alone.
PROJECT = {
    "robust_transfer/__init__.py": '"""The library."""\n',
    "robust_transfer/errors.py": "class Bad(Exception):\n    pass\n",
    "robust_transfer/training/__init__.py": "from robust_transfer.training.loop import fit\n",
    "robust_transfer/training/loop.py": '''
"""The loop."""
from . import steps
from ..errors import Bad


def fit(x):
    """Fit."""
    # why
    return steps.step(x) + 1
''',
    "robust_transfer/training/steps.py": "def step(x):\n    return 2 * x\n",
    "robust_transfer/training/unused.py": "SPARE = 1\n",
    "robust_transfer/tables/__init__.py": "",
    "robust_transfer/tables/write.py": "def write(rows):\n    return rows\n",
    "robust_transfer/tables/style.css": "td { color: black }\n",
    "robust_transfer/plots/__init__.py": "",
    "robust_transfer/plots/bars.py": "WIDTH = 3\n",
    "pretrain/train.py": "from robust_transfer.training import fit\nfit(1)\n",
    "analysis/tabulate.py": "from robust_transfer.tables.write import write\nwrite([])\n",
    "analysis/draw.py": """
import sys


def main():
    from robust_transfer.plots import bars
    return bars.WIDTH


main()
""",
}
ALL = {"pretrain/train.py", "analysis/tabulate.py", "analysis/draw.py"}


@pytest.fixture
def project(tmp_path):
    for name, text in PROJECT.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def digests(project):
    return {script: code_digest(project / script, project) for script in ALL}


def changed_by(project, name, old, new):
    """The scripts whose digest changes when `old` becomes `new` in a file."""
    before = digests(project)
    path = project / name
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    after = digests(project)
    return {script for script in ALL if before[script] != after[script]}


LOOP, FIT = "robust_transfer/training/loop.py", "return steps.step(x) + 1"
UNSEEN = {
    "a comment": ("# why", "# for another reason"),
    "a comment more": ("return steps", "# more\n    return steps"),
    "a docstring": ('"""Fit."""', '"""Fit the model."""'),
    "no docstring": ('    """Fit."""\n', ""),
    "the module's docstring": ('"""The loop."""', '"""A loop."""'),
    "no docstring of the module": ('"""The loop."""', ""),
    "blank lines": ("\n\n\ndef", "\n\n\n\n\ndef"),
    "parentheses": (FIT, "return (steps.step(x) + 1)"),
    "a line broken": (FIT, "return (steps.step(\n        x,\n    ) + 1)"),
    "a number spelled otherwise": ("+ 1", "+ 0x1"),
    "line ends of Windows": ("\n", "\r\n"),
}
SEEN = {
    "a number": ("+ 1", "+ 2"),
    "a number's type": ("+ 1", "+ 1.0"),
    "an operator": ("+ 1", "- 1"),
    "a name": ("(x)", "(y)"),
    "a default": ("fit(x)", "fit(x=None)"),
    "an annotation": ("fit(x)", "fit(x: int)"),
    "a line more": ("return steps", "x = x\n    return steps"),
    "text that is no docstring": ("return steps", "x = 'text'\n    return steps"),
    "another order of imports": (
        "from . import steps\nfrom ..errors import Bad",
        "from ..errors import Bad\nfrom . import steps",
    ),
}


@pytest.mark.parametrize("edit", UNSEEN)
def test_what_python_does_not_see_changes_no_digest(project, edit):
    assert changed_by(project, LOOP, *UNSEEN[edit]) == set()


@pytest.mark.parametrize("edit", SEEN)
def test_what_python_sees_changes_the_digest_of_the_scripts_that_import_it(project, edit):
    assert changed_by(project, LOOP, *SEEN[edit]) == {"pretrain/train.py"}


@pytest.mark.parametrize(
    ("name", "old", "new", "scripts"),
    [
        ("pretrain/train.py", "fit(1)", "fit(2)", {"pretrain/train.py"}),
        ("robust_transfer/training/steps.py", "2 * x", "3 * x", {"pretrain/train.py"}),
        ("robust_transfer/errors.py", "pass", "code = 1", {"pretrain/train.py"}),
        ("robust_transfer/training/unused.py", "1", "2", set()),
        ("robust_transfer/tables/write.py", "rows\n", "list(rows)\n", {"analysis/tabulate.py"}),
        ("robust_transfer/tables/__init__.py", "", "X = 1\n", {"analysis/tabulate.py"}),
        ("robust_transfer/plots/bars.py", "3", "4", {"analysis/draw.py"}),
        ("robust_transfer/__init__.py", '"""\n', '"""\nX = 1\n', ALL),
        ("robust_transfer/tables/style.css", "black", "red", {"analysis/tabulate.py"}),
        ("robust_transfer/tables/parts/page.html", "", "<p>", {"analysis/tabulate.py"}),
    ],
)
def test_an_edit_changes_exactly_the_scripts_whose_imports_reach_it(
    project, name, old, new, scripts
):
    (project / name).parent.mkdir(exist_ok=True)
    assert changed_by(project, name, old, new) == scripts


def test_a_new_module_that_nothing_imports_changes_no_digest(project):
    assert changed_by(project, "robust_transfer/tables/spare.py", "", "X = 1\n") == set()


def test_a_touch_and_a_move_of_the_project_change_no_digest(project, tmp_path_factory):
    before = digests(project)
    for path in project.rglob("*.py"):
        os.utime(path, (1, 1))
    assert digests(project) == before
    clone = tmp_path_factory.mktemp("clone") / "elsewhere"
    shutil.copytree(project, clone)
    assert digests(clone) == before


def test_compiled_files_and_editor_backups_change_no_digest(project):
    before = digests(project)
    (project / "robust_transfer/tables/__pycache__").mkdir()
    for name in ("__pycache__/write.cpython-311.pyc", ".write.py.swp", "write.py~"):
        (project / "robust_transfer/tables" / name).write_text("x", encoding="utf-8")
    assert digests(project) == before


def test_the_modules_of_a_script_are_its_imports_transitively(project):
    assert set(digest_modules(project / "pretrain/train.py", project)) == {
        "pretrain/train.py",
        "robust_transfer",
        "robust_transfer.errors",
        "robust_transfer.training",
        "robust_transfer.training.loop",
        "robust_transfer.training.steps",
    }


@pytest.mark.parametrize(
    "line",
    [
        "import robust_transfer.plots.bars",
        "import robust_transfer.plots.bars as bars",
        "from robust_transfer.plots.bars import WIDTH",
        "from robust_transfer.plots import bars",
        "from robust_transfer.plots.bars import *",
        "import importlib; importlib.import_module('robust_transfer.plots.bars')",
        "def f():\n    from robust_transfer.plots import bars",
        "class A:\n    import robust_transfer.plots.bars",
        "try:\n    pass\nexcept ImportError:\n    import robust_transfer.plots.bars",
    ],
)
def test_every_spelling_of_an_import_is_found(project, line):
    script = project / "analysis/new.py"
    script.write_text(line, encoding="utf-8")
    assert "robust_transfer.plots.bars" in digest_modules(script, project)


def test_an_import_for_type_checkers_alone_is_not_followed(project):
    script = project / "analysis/new.py"
    script.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from robust_transfer.plots import bars\n"
        "else:\n    from robust_transfer.tables import write\n",
        encoding="utf-8",
    )
    found = digest_modules(script, project)
    assert "robust_transfer.plots.bars" not in found
    assert "robust_transfer.tables.write" in found


def test_modules_that_import_each_other_have_a_digest(project):
    steps = project / "robust_transfer/training/steps.py"
    steps.write_text("from robust_transfer.training import loop\n", encoding="utf-8")
    assert len(digest_modules(project / "pretrain/train.py", project)) == 6


def test_other_text_is_mixed_in(project):
    script = project / "pretrain/train.py"
    versions = [(), ("a",), ("b",), ("a", "b"), ("ab",), ("a\nb",)]
    assert len({code_digest(script, project, extra=each) for each in versions}) == len(versions)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("import robust_transfer.plot", r"line 1: imports robust_transfer\.plot, .* 'robust_t"),
        ("from robust_transfer.plots import bar", r"robust_transfer\.plots\.bar, which does not"),
        ("from robust_transfer import plot", "Did you mean 'robust_transfer.plots'"),
        ("from . import train", "relative import that leads out"),
        ("def f(:", r"new\.py, line 1: not valid Python: .* Correct the file"),
        ("x = '\0'", "not valid Python"),
    ],
)
def test_code_that_cannot_be_followed_is_a_clear_error(project, line, expected):
    script = project / "analysis/new.py"
    script.write_text(line, encoding="utf-8")
    with pytest.raises(UserError, match=expected):
        code_digest(script, project)


def test_a_missing_script_is_a_clear_error(project):
    with pytest.raises(UserError, match=r"none\.py: cannot be read \(No such file"):
        code_digest(project / "none.py", project)


expressions = st.recursive(
    st.sampled_from(["a", "b", "1", "2.0", "'s'", "None", "True", "...", "b'x'"]),
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.lists(inner, max_size=3).map(lambda parts: f"[{', '.join(parts)}]"),
        inner.map(lambda part: f"f(x={part}, **{{}})"),
        inner.map(lambda part: f"(lambda y: {part})"),
    ),
    max_leaves=6,
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(expressions, expressions)
def test_two_programs_have_one_digest_exactly_when_they_have_one_syntax_tree(tmp_path, one, two):
    """The oracle is `ast.dump`, which is exact within one version of Python."""
    paths = tmp_path / "one.py", tmp_path / "two.py"
    for path, text in zip(paths, (one, two), strict=True):
        path.write_text(f"x = {text}", encoding="utf-8")
    first, second = (digest_modules(path, tmp_path)[path.name] for path in paths)
    assert (first == second) == (ast.dump(ast.parse(one)) == ast.dump(ast.parse(two)))


def test_the_digests_of_all_scripts_of_the_project_parse_no_source_twice(monkeypatch):
    """Parsing is what takes time: about half a second for all, once in each run."""
    parsed = []
    parse = ast.parse
    read_source.cache_clear()
    monkeypatch.setattr(ast, "parse", lambda source: parsed.append(source) or parse(source))
    scripts = [
        path
        for path in SCRIPTS.glob("*/*.py")
        if path.parent.name != "robust_transfer" and "__pycache__" not in path.parts
    ]
    assert scripts
    found = {script: code_digest(script, SCRIPTS) for script in scripts}
    assert len(scripts) < len(parsed) == len(set(parsed))
    assert len(set(found.values())) == len(scripts)


@pytest.fixture
def parsed(monkeypatch):
    """The sources that are parsed from now on."""
    found = []
    parse = ast.parse
    read_source.cache_clear()
    monkeypatch.setattr(ast, "parse", lambda source: found.append(source) or parse(source))
    return found


def remembering(project, memory):
    code = Code(project, memory)
    found = {script: code.modules(project / script) for script in ALL}
    code.remember()
    read_source.cache_clear()  # as the next process begins
    return found


def test_what_was_parsed_once_is_remembered_by_its_content(project, tmp_path_factory, parsed):
    memory = tmp_path_factory.mktemp("memory") / "code.json"
    first = remembering(project, memory)
    assert parsed
    parsed.clear()
    assert remembering(project, memory) == first
    assert not parsed
    loop = project / "robust_transfer/training/loop.py"
    status = loop.stat()
    loop.write_text(loop.read_text().replace("+ 1", "+ 2"))
    os.utime(loop, ns=(status.st_atime_ns, status.st_mtime_ns))
    changed = remembering(project, memory)
    assert [text.count(b"+ 2") for text in parsed] == [1]
    assert changed["pretrain/train.py"] != first["pretrain/train.py"]
    assert changed == {script: digest_modules(project / script, project) for script in ALL}


@pytest.mark.parametrize("text", ["", "{", "[]", '{"schema_version": 1, "reader": "other"}'])
def test_a_memory_that_cannot_be_used_costs_time_alone(project, tmp_path_factory, text):
    memory = tmp_path_factory.mktemp("memory") / "code.json"
    memory.write_text(text)
    assert remembering(project, memory) == {
        script: digest_modules(project / script, project) for script in ALL
    }
