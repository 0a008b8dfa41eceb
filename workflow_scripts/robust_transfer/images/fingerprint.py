"""A short name for the definition of a dataset."""

import hashlib
import json
from typing import Any


def fingerprint(dataset: dict[str, Any]) -> str:
    """Name a definition, so that studies which define a dataset differently share no cache.

    The order of keys does not matter, a key without a value (None) counts as absent, and a
    whole number is the same with or without a point (0 and 0.0).

    Args:
        dataset: the definition, builtins only.

    Returns:
        8 hexadecimal digits.
    """
    given = {key: _plain(value) for key, value in dataset.items() if value is not None}
    canonical = json.dumps(given, sort_keys=True, ensure_ascii=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:8]


def _plain(value: Any) -> Any:
    """Spell a whole float as an integer."""
    return int(value) if isinstance(value, float) and value.is_integer() else value
