"""What is wrong with a config, in words: where, what was given, what is allowed, the likely fix."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

from pydantic_core import ErrorDetails

from robust_transfer.config.architectures import architectures
from robust_transfer.config.data import DATASET_KINDS
from robust_transfer.config.scenes import SCENE_KINDS
from robust_transfer.config.schema import StudyConfig
from robust_transfer.config.values import Section
from robust_transfer.errors import did_you_mean

BOUNDS = {
    "greater_than_equal": ("small", "at least {ge}"),
    "greater_than": ("small", "more than {gt}"),
    "less_than_equal": ("large", "at most {le}"),
    "less_than": ("large", "less than {lt}"),
}
TYPES = {
    "bool_type": "true or false",
    "string_type": "text; quote it if YAML takes it for something else",
    "list_type": "a list",
    "model_type": "a mapping of keys to values",
    "model_attributes_type": "a mapping of keys to values",
    "dict_type": "a mapping of keys to values",
}


@dataclass(frozen=True)
class Problem:
    """One mistake.

    Attributes:
        key: path of the key, such as `transfer.modes[1]`; empty for the config as a whole.
        given: what was given, as a clause.
        allowed: what is allowed and the likely fix, as sentences.
    """

    key: str
    given: str
    allowed: str

    def text(self, where: str) -> str:
        """Spell the mistake for a person.

        Args:
            where: the file.
        """
        place = f"{where}, {self.key}" if self.key else where
        gap = "" if self.allowed.startswith("\n") else " "
        return f"{place}: {self.given}.{gap}{self.allowed}"


def shown(value: Any) -> str:
    """Show a value as a person would have typed it, shortened."""
    if value is None:
        return "nothing (null)"
    if isinstance(value, str):
        return f"'{value}'"
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def listed(words: Iterable[str]) -> str:
    """Join words to a list; say so where there are none."""
    return ", ".join(words) or "(none)"


@dataclass
class _Place:
    """Where in config and schema an error is."""

    key: str
    section: type[Section] | None
    description: str


def _sections(annotation: Any) -> list[type[Section]]:
    """Return the sections that an annotation holds, at any depth."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return [annotation]
    return [found for part in get_args(annotation) for found in _sections(part)]


def _locate(config: Any, location: tuple[int | str, ...]) -> _Place:
    """Follow an error's location through config and schema together."""
    key, node, description, name = "", config, "", ""
    sections: list[type[Section]] = [StudyConfig]
    for part in location:
        if isinstance(part, int):
            if not isinstance(node, list):  # one value, taken as a list of one
                continue
            key, node = f"{key}[{part}]", node[part]
            name = str(node.get("name", "")) if isinstance(node, dict) else name
        elif len(sections) > 1:  # the kind of a dataset, which the config spells as a value
            sections = [(DATASET_KINDS | SCENE_KINDS)[part]]
        else:
            key = f"{key}.{part}" if key else part
            field = sections[0].model_fields.get(part) if sections else None
            node = node.get(part) if isinstance(node, dict) else None
            sections = _sections(field.annotation) if field else []
            description = (field.description or "") if field else ""
    key += f" ({name})" if name else ""
    return _Place(key, sections[0] if len(sections) == 1 else None, description)


def _homes(key: str, section: type[Section] = StudyConfig, path: str = "") -> Iterator[str]:
    """Yield the sections that know a key."""
    for name, field in section.model_fields.items():
        if name == key:
            yield path or "the top level"
        for inner in _sections(field.annotation):
            yield from _homes(key, inner, f"{path}.{name}" if path else name)


def _unknown_key(config: Any, location: tuple[int | str, ...]) -> Problem:
    parent, key = _locate(config, location[:-1]), str(location[-1])
    allowed = list(parent.section.model_fields) if parent.section else []
    fix = did_you_mean(key, allowed)
    homes = list(dict.fromkeys(_homes(key)))
    if not fix and homes:
        fix = f" '{key}' belongs to {' or '.join(homes)}."
    return Problem(
        parent.key, f"unknown key '{key}'", f"This section knows {listed(allowed)}.{fix}"
    )


def _choice(key: str, given: Any, meanings: dict[str, str]) -> Problem:
    lines = [f"    {word}: {meaning}" for word, meaning in meanings.items()]
    fix = did_you_mean(given, meanings)
    lines += [f" {fix}"] if fix else []
    return Problem(key, f"unknown value {shown(given)}", "\n".join(["\n  Choose one of", *lines]))


def _architecture(key: str, given: str) -> Problem:
    return Problem(
        key,
        f"unknown architecture {shown(given)}",
        "Choose resnet_small, resnet_small_w<width> (such as resnet_small_w32), wide_resnet50_4, "
        "or a classification network of torchvision by its name there, such as resnet18."
        + did_you_mean(given, architectures()),
    )


def describe(error: ErrorDetails, config: Any) -> Problem:
    """Turn an error of the schema into words.

    Args:
        error: one of pydantic's.
        config: the config that it was found in.

    Returns:
        The mistake.
    """
    kind, given, facts = error["type"], error["input"], error.get("ctx", {})
    if kind == "extra_forbidden":
        return _unknown_key(config, error["loc"])
    place = _locate(config, error["loc"])
    meaning = f" ({place.description})" if place.description else ""
    if kind == "missing":
        return Problem(place.key, "missing", f"Give it{meaning}.")
    if kind == "choice":
        return _choice(place.key, given, facts["meanings"])
    if kind == "architecture":
        return _architecture(place.key, given)
    if kind == "repeat":
        return Problem(
            place.key, f"{shown(facts['element'])} stands twice", "Name each element once."
        )
    if kind in ("union_tag_invalid", "union_tag_not_found"):
        given = given.get("kind") if isinstance(given, dict) else None
        kinds = SCENE_KINDS if error["loc"][0] == "detect" else DATASET_KINDS
        return Problem(
            place.key,
            f"unknown kind {shown(given)}" if given is not None else "no kind",
            f"A dataset's kind is one of {listed(kinds)}." + did_you_mean(given, kinds),
        )
    if kind in BOUNDS:
        size, allowed = BOUNDS[kind]
        return Problem(
            place.key,
            f"{shown(given)} is too {size}",
            f"Allowed is {allowed.format(**facts)}{meaning}.",
        )
    if kind in ("too_short", "string_too_short"):
        return Problem(place.key, f"{shown(given)} is empty", f"Give at least one{meaning}.")
    allowed = TYPES.get(kind, error["msg"])
    return Problem(place.key, f"{shown(given)} does not fit", f"Allowed is {allowed}{meaning}.")
