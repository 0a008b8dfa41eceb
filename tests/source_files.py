"""The files of the library, the scripts and the rules, as the tests of the house read them."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = ROOT / "workflow_scripts"
LIBRARY = SCRIPTS / "robust_transfer"


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


def imported(path):
    """The names of all modules that a file imports, anywhere in it."""
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative import; write it out"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
