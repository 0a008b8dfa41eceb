"""The house stands as designed: layers, one subject a module, scripts without logic."""

import ast
import re

import pytest
from robust_transfer.records.digests import digest_modules
from source_files import (
    LIBRARY,
    MODULES,
    ROOT,
    SCRIPTS,
    THIN,
    WITH_SCRIPT,
    imported,
    parsed,
    relative,
)

# Lowest first: a module imports from its own row and the rows above it in this list.
LAYERS = [
    ("errors", "files", "job_environment", "progress", "panel", "config", "records", "forkserver"),
    ("toy_world",),
    ("images",),
    ("scenes",),
    ("backbones",),
    ("attacks",),
    ("training",),
    ("transfer",),
    ("detection",),
    ("statistics",),
    ("figures",),
    ("report",),
    ("audit",),
    ("benchmark",),
]
LEVEL = {subject: level for level, row in enumerate(LAYERS) for subject in row}
# What reads tables must start in a moment: it never loads torch.
WITHOUT_TORCH = (
    "config", "records", "toy_world", "images", "scenes", "statistics", "figures", "report",
)  # fmt: skip
NUMPY_ONLY = {
    "transfer", "transfer.predictions", "transfer.metrics",
    "detection", "detection.detections", "detection.average_precision", "detection.voc_precision",
}  # fmt: skip
LINES_OF_A_MODULE, LINES_OF_A_FUNCTION, LINES_OF_A_SCRIPT = 280, 60, 40
LOGIC = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.For | ast.AsyncFor
    | ast.While | ast.If | ast.IfExp | ast.Try | ast.Match | ast.BoolOp | ast.Compare
    | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
)  # fmt: skip


# The library


@pytest.mark.parametrize("path", [p for p in sorted(LIBRARY.rglob("*")) if p.is_file()
                                  and "__pycache__" not in p.parts], ids=relative)  # fmt: skip
def test_the_library_never_mentions_snakemake(path):
    assert "snakemake" not in path.read_text(encoding="utf-8", errors="replace").lower()


def subjects(path):
    """The subjects of the library that a file imports from."""
    parts = (name.split(".") for name in imported(path))
    return {part[1] for part in parts if part[0] == "robust_transfer" and len(part) > 1}


def subject_of(path):
    return path.relative_to(LIBRARY).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", [p for p in MODULES if p.parent != LIBRARY
                                  or p.name != "__init__.py"], ids=relative)  # fmt: skip
def test_imports_run_downward(path):
    own = LEVEL[subject_of(path)]
    above = {subject for subject in subjects(path) if LEVEL[subject] > own}
    assert not above, f"{relative(path)} imports from above it: {above}"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_tables_figures_and_caches_are_made_without_torch(path):
    """Through all imports of imports: torch takes seconds to load, and such jobs are many."""
    subject = subject_of(path)
    name = ".".join(path.relative_to(LIBRARY).with_suffix("").parts)
    if subject not in WITHOUT_TORCH and name not in NUMPY_ONLY:
        return
    for module in digest_modules(path, SCRIPTS):
        file = SCRIPTS.joinpath(*module.split("."))
        file = file.with_suffix(".py") if file.with_suffix(".py").exists() else file / "__init__.py"
        heavy = {"torch", "torchvision"} & set(imported(file if file.exists() else path))
        assert not heavy, f"{relative(path)} loads {heavy} through {module}"


def test_statistics_figures_and_report_take_predictions_alone_from_the_networks_side():
    networks = {"backbones", "attacks", "training", "transfer", "detection"}
    for path in MODULES:
        if subject_of(path) in ("statistics", "figures", "report"):
            names = {name.removeprefix("robust_transfer.") for name in imported(path)
                     if name.startswith("robust_transfer.")}  # fmt: skip
            foreign = {n for n in names if n.split(".")[0] in networks}
            kept = {n for n in foreign if ".".join(n.split(".")[:2]) in NUMPY_ONLY}
            assert foreign == kept, relative(path)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_module_is_about_one_subject_and_fits_a_few_screens(path):
    assert path.stem not in ("utils", "util", "helpers", "helper", "common", "misc", "tools")
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_MODULE


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_a_function_fits_a_screen(path):
    functions = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.FunctionDef)]
    long = [each.name for each in functions
            if each.end_lineno - each.lineno + 1 > LINES_OF_A_FUNCTION]  # fmt: skip
    assert not long


def test_every_folder_of_the_library_that_holds_modules_is_a_package():
    folders = {path.parent for path in MODULES}
    assert [relative(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


# The scripts


@pytest.mark.parametrize("path", THIN, ids=relative)
def test_a_script_loads_calls_and_saves(path):
    tree = parsed(path)
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LINES_OF_A_SCRIPT
    assert ast.get_docstring(tree).startswith(f"Rule {path.stem}: ")
    *imports, guard = tree.body[1:]
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in imports)
    assert isinstance(guard, ast.If)
    assert ast.unparse(guard.test) == "__name__ == '__main__'"
    assert not guard.orelse
    logic = [type(node).__name__ for part in guard.body for node in ast.walk(part)
             if isinstance(node, LOGIC)]  # fmt: skip
    assert not logic, "whatever deserves a test belongs in the library"


# What may look at the environment: where a job runs, never what it computes.
MAY_LOOK_AROUND = {
    "audit/rerun.py", "benchmark/elsewhere.py", "progress.py", "records/machine.py",
    "records/provenance.py", "training/device.py",
}  # fmt: skip


@pytest.mark.parametrize("path", THIN, ids=relative)
def test_a_script_reads_nothing_behind_the_back_of_its_parameters(path):
    """Through all its imports: no config, no file that config names, no environment variable."""
    for module in [relative(path), *digest_modules(path, SCRIPTS)]:
        file = SCRIPTS.joinpath(*module.split(".")).with_suffix(".py")
        file = ROOT / module if module.endswith(".py") else file
        if file.is_file():
            assert not behind_the_back(file), f"{relative(path)} through {module}"


def behind_the_back(file):
    """What of a file reads a setting that is no parameter."""
    own = file.relative_to(LIBRARY).as_posix() if LIBRARY in file.parents else ""
    found = []
    for node in ast.walk(parsed(file)):
        text = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Call) else ""
        if own in MAY_LOOK_AROUND:
            continue
        if re.fullmatch(r"(snakemake|job)\.config|getattr\((snakemake|job), .*", text):
            found.append(text)
        if re.match(r"os\.(environ|getenv)", text):
            found.append(text)
        loads = re.match(r"(yaml\.\w*load|open|Path)\(", text)
        if loads and re.search(r"['\"](config|studies|profile)\b[^'\"]*\.?ya?ml", text):
            found.append(text)
    return found


@pytest.mark.parametrize(
    "line",
    ["snakemake.config['study']", "getattr(snakemake, 'config')", "os.environ['EPSILON']",
     "os.getenv('EPSILON')", "open('config.yaml').read()", "yaml.safe_load(Path('config.yaml'))"],
)  # fmt: skip
def test_a_look_behind_the_back_is_found(tmp_path, line):
    file = tmp_path / "script.py"
    file.write_text(f"import os\nx = {line}\n")
    assert behind_the_back(file)


def test_every_script_has_its_rule_and_every_rule_its_script():
    scripts = {path.relative_to(SCRIPTS).with_suffix("").as_posix() for path in THIN}
    assert scripts == {f"{rule.stage}/{rule.name}" for rule in WITH_SCRIPT}
