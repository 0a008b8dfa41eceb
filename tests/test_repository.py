"""What is committed is clean: no registry is named; formatters, linters and types are content."""

import re
import subprocess
import sys
from pathlib import Path

from source_files import ROOT, relative

BIN = Path(sys.executable).parent


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
