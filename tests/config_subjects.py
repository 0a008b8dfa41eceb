"""The demo's config with changes, and what is said of them."""

import copy
from pathlib import Path

import pytest
import yaml
from robust_transfer.config.check import check_config
from robust_transfer.errors import ConfigError

ROOT = Path(__file__).parent.parent
DEMO = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
REMOVED = object()


def demo(changes=None):
    """The demo config with some keys changed: {"transfer.datasets.0.name": value}."""
    config = copy.deepcopy(DEMO)
    for path, value in (changes or {}).items():
        *above, last = [int(part) if part.isdigit() else part for part in path.split(".")]
        section = config
        for part in above:
            section = section[part]
        if value is REMOVED:
            del section[last]
        elif isinstance(section, list) and last == len(section):
            section.append(value)
        else:
            section[last] = value
    return config


def message(changes, **options):
    with pytest.raises(ConfigError) as error:
        check_config(demo(changes), **options)
    return str(error.value)


def entry(**changes):
    standard = {"architecture": "resnet_small", "norm": "l2", "epsilon": [0], "seeds": [0]}
    return standard | changes
