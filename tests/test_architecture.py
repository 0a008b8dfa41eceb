"""The house stands as designed: layers, thin scripts, rules that all look alike, clean tools."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from packaging.markers import Marker
from robust_transfer.figures.catalogue import FIGURES
from robust_transfer.records.digests import digest_modules

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "workflow_scripts"
LIBRARY = SCRIPTS / "robust_transfer"
BIN = Path(sys.executable).parent

# Lowest first: a module imports from its own row and the rows above it in this list.
LAYERS = [
    ("errors", "files", "progress", "panel", "config", "records", "forkserver"),
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
STAGES = ["data", "pretrain", "transfer", "detect", "analysis", "report", "audit", "benchmark"]
LINES_OF_A_MODULE, LINES_OF_A_FUNCTION, LINES_OF_A_SCRIPT = 280, 60, 40
LOGIC = (
    ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda | ast.For | ast.AsyncFor
    | ast.While | ast.If | ast.IfExp | ast.Try | ast.Match | ast.BoolOp | ast.Compare
    | ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
)  # fmt: skip
TARGETS = ("all", "why")  # of the Snakefile: they make no file
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


def relative(path):
    return path.relative_to(ROOT).as_posix()


def python_files(folder):
    return sorted(path for path in folder.rglob("*.py") if "__pycache__" not in path.parts)


def parsed(path):
    return ast.parse(path.read_text(encoding="utf-8"))


MODULES = python_files(LIBRARY)
THIN = [path for path in python_files(SCRIPTS) if LIBRARY not in path.parents]


# Rules, read from the text of rules/*.smk


class Rule:
    """One rule as it is written: its name, its stage and the text of its sections."""

    def __init__(self, stage, name, text):
        self.stage, self.name, self.text = stage, name, text
        parts = re.split(r"^    (\w+):", text, flags=re.MULTILINE)
        self.head = parts[0]
        self.sections = dict(zip(parts[1::2], parts[2::2], strict=True))

    def __repr__(self):
        return self.name


def read_rules(path):
    text = path.read_text(encoding="utf-8")
    blocks = re.finditer(r"^rule (\w+):\n((?:[ ]{4}.*\n|\n)+)", text, flags=re.MULTILINE)
    return [Rule(path.stem, block[1], block[2]) for block in blocks]


RULE_FILES = [ROOT / "Snakefile", *sorted((ROOT / "rules").glob("*.smk"))]
RULE_TEXT = {path: path.read_text(encoding="utf-8") for path in RULE_FILES}
RULES = [rule for path in RULE_FILES for rule in read_rules(path)]
WITH_SCRIPT = [rule for rule in RULES if "script" in rule.sections]


def literals(text):
    """The string literals of a piece of a rule, docstrings and comments left out."""
    text = re.sub(r'"""(?:.|\n)*?"""|#.*', "", text)
    return re.findall(r'"([^"\n]*)"', text)


def helpers():
    """Functions of the rule files: name -> text."""
    text = "\n".join(RULE_TEXT.values())
    found = re.finditer(r"^def (\w+)\(.*\n((?:[ ]{4}.*\n|\n)+)", text, flags=re.MULTILINE)
    return {function[1]: function[2] for function in found}


def names_rules(text, seen=()):
    """Whether a text names a rule's output, itself or in the helpers that it calls."""
    functions = helpers()
    words = set(re.findall(r"\w+", text)) & set(functions) - set(seen)
    return "rules." in text or any(names_rules(functions[w], (*seen, w)) for w in words)


# The library


@pytest.mark.parametrize("path", [p for p in sorted(LIBRARY.rglob("*")) if p.is_file()
                                  and "__pycache__" not in p.parts], ids=relative)  # fmt: skip
def test_the_library_never_mentions_snakemake(path):
    assert "snakemake" not in path.read_text(encoding="utf-8", errors="replace").lower()


def imported(path):
    """The names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; write it out"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


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
    "audit/rerun.py", "progress.py", "records/machine.py", "records/provenance.py",
    "training/device.py",
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


# The rules


def test_the_rules_were_found():
    counted = sum(len(re.findall(r"^\s*(?:rule|checkpoint)\s+\w+:", text, flags=re.MULTILINE))
                  for text in RULE_TEXT.values())  # fmt: skip
    assert len(RULES) == counted >= 5


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_rule_says_in_one_line_what_it_does(rule):
    assert re.fullmatch(r'\s*"""[A-Z].{10,90}\.(?:\n(?:.|\n)*)?"""\s*', rule.head)


@pytest.mark.parametrize("rule", [rule for rule in RULES if rule.name not in TARGETS], ids=repr)
def test_a_rule_has_all_that_a_rule_needs(rule):
    assert rule.stage in STAGES
    assert {"output", "params", "log", "conda", "script"} <= set(rule.sections)
    script = f"{rule.stage}/{rule.name}.py"
    assert literals(rule.sections["script"]) == [f"../workflow_scripts/{script}"]
    assert f'code=code_digest("{script}")' in rule.sections["params"]
    (environment,) = literals(rule.sections["conda"])
    assert (ROOT / "rules" / environment).is_file()
    assert literals(rule.sections["log"])[-1].endswith(f"/{rule.name}.log")
    assert "retries" not in rule.sections, "retries belong in the profile: see slurm/profile.yaml"


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_inputs_name_rules_and_spell_no_path(rule):
    inputs = rule.sections.get("input")
    if inputs is not None:
        assert [text for text in literals(inputs) if "/" in text] == []
        assert names_rules(inputs)


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_each_output_path_is_spelled_once(rule):
    everywhere = [text for each in RULE_TEXT.values() for text in literals(each)]
    paths = [text for text in literals(rule.sections.get("output", "")) if "/" in text]
    assert paths or rule.name in TARGETS
    repeated = [path for path in paths if everywhere.count(path) > 1 and "." in path]
    assert not repeated


@pytest.mark.parametrize("rule", RULES, ids=repr)
def test_a_stage_reads_from_itself_and_from_earlier_stages_alone(rule):
    if rule.stage not in STAGES:
        return
    stage_of = {each.name: each.stage for each in RULES}
    used = re.findall(r"rules\.(\w+)\.", rule.sections.get("input", ""))
    later = [name for name in used if STAGES.index(stage_of[name]) > STAGES.index(rule.stage)]
    assert not later


def test_every_figure_has_a_caption_and_every_caption_is_used():
    """`snakemake --report` shows them."""
    captions = {path.stem for path in (ROOT / "rules/captions").glob("*.rst")}
    text = "\n".join(RULE_TEXT.values())
    named = set(re.findall(r"captions/(\w+)\.rst", text))
    assert captions == named | set(FIGURES)


def test_the_profile_names_rules_that_exist():
    profile = yaml.safe_load((ROOT / "slurm/profile.yaml").read_text(encoding="utf-8"))
    named = set(profile.get("set-resources", {})) | set(profile.get("set-threads", {}))
    assert named <= {rule.name for rule in RULES}


# Environments


def locked(python):
    """The versions that the lock gives to one version of Python: name -> version."""
    text = (ROOT / "envs/requirements.lock").read_text(encoding="utf-8")
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)(?: *; *([^\\\n]+))?", text, flags=re.MULTILINE)
    machine = {"python_version": python, "python_full_version": f"{python}.0"}
    machine |= {"sys_platform": "linux", "platform_machine": "x86_64"}
    return {name: version for name, version, marker in lines
            if not marker or Marker(marker.strip()).evaluate(machine)}  # fmt: skip


def pins(path):
    """The pip pins of a conda environment: name -> version."""
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    (pip,) = (entry["pip"] for entry in dependencies if isinstance(entry, dict))
    return dict(entry.split("==") for entry in pip)


@pytest.mark.parametrize("path", sorted((ROOT / "envs").glob("*.yaml")), ids=relative)
def test_conda_environments_have_the_pins_of_the_lock(path):
    dependencies = yaml.safe_load(path.read_text(encoding="utf-8"))["dependencies"]
    (python,) = (each for each in dependencies if str(each).startswith("python="))
    lock = locked(python.removeprefix("python="))
    assert pins(path) == {name: lock.get(name) for name in pins(path)}


@pytest.mark.parametrize("rule", WITH_SCRIPT, ids=repr)
def test_the_environment_of_a_rule_holds_what_its_code_imports(rule):
    (environment,) = literals(rule.sections["conda"])
    held = set(pins(ROOT / "rules" / environment))
    script = SCRIPTS / rule.stage / f"{rule.name}.py"
    files = [script]
    for module in digest_modules(script, SCRIPTS):
        path = SCRIPTS.joinpath(*module.split("."))
        files += [each for each in (path.with_suffix(".py"), path / "__init__.py") if each.exists()]
    top = {name.split(".")[0] for file in files for name in imported(file)}
    foreign = top - set(sys.stdlib_module_names) - {"robust_transfer"}
    needed = {DISTRIBUTIONS.get(name, name) for name in foreign} - {"pydantic_core"}
    assert needed <= held


# The repository


def committed():
    """The files that git tracks or would add."""
    words = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines() if (ROOT / line).is_file()]


def test_no_file_names_a_package_registry():
    """Where packages come from is a matter of the machine, not of the project."""
    address = re.compile(
        r"https?://\S*(?:pypi|pythonhosted|anaconda|artifactory|nexus|devpi|/simple\b)"
        r"|(?:index-url|find-links|trusted-host|proxy)[ =]+\S*://",
        re.IGNORECASE,
    )
    found = [
        relative(path)
        for path in committed()
        if address.search(path.read_text(encoding="utf-8", errors="replace"))
    ]
    assert found == []


def run(*words):
    done = subprocess.run([str(BIN / words[0]), *words[1:]], cwd=ROOT, capture_output=True,
                          text=True, timeout=300)  # fmt: skip
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"


def test_ruff_finds_nothing():
    run("ruff", "check", ".")


def test_python_is_formatted():
    run("ruff", "format", "--check", ".")


def test_rules_are_formatted():
    run("snakefmt", "--check", "Snakefile", "rules")


def test_the_linter_of_snakemake_finds_nothing():
    run("snakemake", "--lint")


def test_types_are_right():
    run("mypy")
