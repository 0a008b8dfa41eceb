"""Refuse a wrong config before any job, with every mistake in one message."""

from collections.abc import Callable, Iterator
from typing import Any

from pydantic import ValidationError

from robust_transfer.config.backbone_checks import check_backbones
from robust_transfer.config.block_checks import check_blocks
from robust_transfer.config.dataset_checks import check_datasets, check_files
from robust_transfer.config.detect_checks import check_detection, scenes_missing
from robust_transfer.config.import_checks import check_imports
from robust_transfer.config.problems import Problem, describe, shown
from robust_transfer.config.replicate_checks import (
    check_amount,
    check_export,
    check_replicates,
)
from robust_transfer.config.schema import StudyConfig
from robust_transfer.config.shorthand import expand_shorthand
from robust_transfer.config.study import Study, expand_study
from robust_transfer.errors import ConfigError

CHECKS: tuple[Callable[[dict[str, Any]], Iterator[Problem]], ...] = (
    check_datasets,
    check_backbones,
    check_imports,
    check_amount,
    check_replicates,
    check_export,
    check_blocks,
    check_detection,
)


def what_is_missing(config: dict[str, Any], *, where: str = "config.yaml") -> list[str]:
    """Say which folders and files the study reads and are not there; a plan needs none of them.

    Args:
        config: as YAML gives it; may be wrong elsewhere.
        where: the file or files that it comes from, for messages.

    Raises:
        ConfigError: a shorthand is wrong.
    """
    if not isinstance(config, dict):
        return []
    config = expand_shorthand(config)
    lacking = [*check_files(config), *scenes_missing(config)]
    return [f"missing: {each.text(where)}" for each in lacking]


def check_config(
    config: dict[str, Any], *, where: str = "config.yaml", data_root_must_exist: bool = True
) -> Study:
    """Check a whole config and expand it.

    Args:
        config: as YAML gives it.
        where: the file or files that it comes from, for messages.
        data_root_must_exist: look for the folders of the datasets that the study uses, and for
            the external files.

    Returns:
        The study.

    Raises:
        ConfigError: something is wrong; the text lists every mistake that was found.
    """
    if not isinstance(config, dict):
        raise ConfigError(f"{where}: {shown(config)} is no config. A config is a mapping of keys.")
    config = expand_shorthand(config)
    problems: list[Problem] = []
    valid = None
    try:
        valid = StudyConfig.model_validate(config)
    except ValidationError as errors:
        problems += [describe(error, config) for error in errors.errors(include_url=False)]
    # The checks across sections read what they can of a wrong config, so that one run lists all.
    for check in CHECKS:
        problems += check(config)
    if data_root_must_exist:
        problems += [*check_files(config), *scenes_missing(config)]
    if problems or valid is None:
        raise ConfigError("\n".join(problem.text(where) for problem in problems))
    return expand_study(valid)
