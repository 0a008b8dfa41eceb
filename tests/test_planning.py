"""Shortcuts of plans: the same plan and the same complaints as of Snakemake alone."""

import re

import pytest
from workflow import ROOT, copy_workflow, snakemake

pytestmark = pytest.mark.workflow

SHORTCUTS = f'include: "{ROOT / "rules/planning.smk"}"\n'
NO_SCRIPT = """
rule one:
    output: "a.txt"
    script: "missing.py"
"""
A_FILE_IN_A_FILE = """
rule all:
    input: "x/a", "x/a/b"
rule one:
    output: "x/a"
    shell: "touch {output}"
rule two:
    output: "x/a/b"
    shell: "touch {output}"
"""
A_FOLDER_BESIDE_ITS_FILES = """
rule all:
    input: "x/a", "x/a.txt", "x/ab/c"
rule one:
    output: directory("x/a")
    shell: "mkdir {output}"
rule two:
    output: "x/a.txt", "x/ab/c"
    shell: "touch {output}"
"""
ARGUMENTS = """
def named(wildcards, output):
    return f"{wildcards.which} of {len(output)}"
rule all:
    input: expand("{which}.txt", which=["a", "b"])
rule one:
    output: "{which}.txt"
    params: name=named
    shell: "echo {params.name} > {output}"
"""
#: In the place of a line of Snakefile: each question is asked both ways.
BOTH_WAYS = """
import sys
import snakemake.output_index
slow = snakemake.output_index.OutputIndex.match
include: "rules/planning.smk"
quick = snakemake.output_index.OutputIndex.match
asked = []
def both(index, path):
    found = quick(index, path)
    assert found == slow(index, path), path
    asked.append(path)
    print(f"the same {len(asked)} times", file=sys.stderr)
    return found
snakemake.output_index.OutputIndex.match = both
"""


def plan(folder, snakefile):
    """Plan a Snakefile; return the exit code and the words of each line, in no order."""
    folder.mkdir()
    (folder / "Snakefile").write_text(snakefile)
    told = snakemake(folder, "--dry-run", "--printshellcmds", study=())
    said = re.sub(r" in file .*, line \d+:", ":", told.said.replace(str(folder), ""))
    _, begun, plan = said.partition("Building DAG of jobs...\n")
    assert begun, said
    lines = re.findall(r"^(?!\[|    jobid).+$", plan, re.MULTILINE)  # a time, a number by chance
    return told.code, sorted(sorted(re.findall(r"[^\s,]+", line)) for line in lines)


@pytest.mark.parametrize(
    ("snakefile", "code", "named"),
    [
        (NO_SCRIPT, 1, "'/missing.py'"),
        (A_FILE_IN_A_FILE, 1, "ChildIOException:"),
        (A_FOLDER_BESIDE_ITS_FILES, 0, "x/ab/c"),
        (ARGUMENTS, 0, "b.txt"),
    ],
    ids=["no script", "a file in a file", "a folder beside files", "arguments"],
)
def test_a_plan_with_shortcuts_says_what_a_plan_without_them_says(snakefile, code, named, tmp_path):
    alone = plan(tmp_path / "alone", snakefile)
    assert plan(tmp_path / "short", SHORTCUTS + snakefile) == alone
    assert alone[0] == code
    assert any(named in line for line in alone[1]), alone[1]


def test_the_rules_of_every_file_of_a_study_are_those_that_snakemake_finds(tmp_path):
    folder = copy_workflow(tmp_path / "study")
    include = 'include: "rules/planning.smk"'
    text = (folder / "Snakefile").read_text()
    assert include in text
    (folder / "Snakefile").write_text(text.replace(include, BOTH_WAYS))
    told = snakemake(folder, "--dry-run")
    assert told.code == 0, told.said
    assert int(re.findall(r"the same (\d+) times", told.said)[-1]) > 100


def test_a_shortcut_for_what_a_later_snakemake_has_no_more_is_not_taken(tmp_path):
    tried = """
shorten(snakemake.dag, "no_such_function", functools.cache)
assert not hasattr(snakemake.dag, "no_such_function")
"""
    code, said = plan(tmp_path / "short", SHORTCUTS + tried + ARGUMENTS)
    assert code == 0, said
