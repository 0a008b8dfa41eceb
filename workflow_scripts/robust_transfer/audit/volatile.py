"""What may differ between two equal runs: clocks and memory, in one place.

Everything else must repeat bit for bit on one CPU.
"""

from typing import Any

#: Keys of JSON records, columns of CSV tables, by name.
VOLATILE = frozenset({"seconds", "peak_memory_bytes"})


def steady(values: Any) -> Any:
    """Return nested values without what may differ between equal runs."""
    if isinstance(values, dict):
        return {key: steady(value) for key, value in values.items() if key not in VOLATILE}
    if isinstance(values, list):
        return [steady(value) for value in values]
    return values
