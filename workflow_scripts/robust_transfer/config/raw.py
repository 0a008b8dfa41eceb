"""Read what can be read of a config that may be wrong elsewhere."""

from typing import Any, TypeVar

from pydantic import ValidationError

from robust_transfer.config.values import Section

AnySection = TypeVar("AnySection", bound=Section)


def value_at(config: Any, *keys: str) -> Any:
    """Return the value at a path of keys, None where there is none."""
    for key in keys:
        config = config.get(key) if isinstance(config, dict) else None
    return config


def items_at(config: Any, *keys: str) -> list[Any]:
    """Return the list at a path of keys; an empty one where there is no list."""
    found = value_at(config, *keys)
    return found if isinstance(found, list) else []


def names_at(config: Any, *keys: str) -> list[tuple[int, str]]:
    """Return (position, name) of the elements of a list that have a name."""
    return [
        (place, item["name"])
        for place, item in enumerate(items_at(config, *keys))
        if isinstance(item, dict) and isinstance(item.get("name"), str)
    ]


def read_section(item: Any, section: type[AnySection]) -> AnySection | None:
    """Read one section, None where it is wrong (the schema says so elsewhere)."""
    try:
        return section.model_validate(item)
    except ValidationError:
        return None
