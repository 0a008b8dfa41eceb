"""Rules all look alike, name each path once, and have environments that hold what they import."""

import re
import sys

import pytest
import yaml
from packaging.markers import Marker
from robust_transfer.figures.catalogue import FIGURES
from robust_transfer.records.digests import digest_modules
from source_files import (
    ROOT,
    RULE_TEXT,
    RULES,
    SCRIPTS,
    WITH_SCRIPT,
    imported,
    literals,
    names_rules,
    relative,
)

STAGES = ["data", "pretrain", "transfer", "detect", "analysis", "report", "audit", "benchmark"]
TARGETS = ("all", "why")  # of the Snakefile: they make no file
DISTRIBUTIONS = {"PIL": "pillow", "sklearn": "scikit-learn", "yaml": "pyyaml"}


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
