"""A checked study: what the workflow reads of a config."""

from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

from robust_transfer.config.detect import DetectorCell, detector_cells
from robust_transfer.config.grid import (
    MODE_OF_CONTROL,
    Backbone,
    Cell,
    controls,
    expand_entry,
    variants,
)
from robust_transfer.config.imports import imports_of
from robust_transfer.config.schema import StudyConfig
from robust_transfer.errors import ConfigError, did_you_mean


@dataclass(frozen=True)
class Study:
    """What the workflow reads of a config that has passed every check.

    Attributes:
        settings: the whole config as builtins: numbers parsed, absent options None. Its parts can
            be parameters of a rule, and two spellings of one number give the same parameters.
        backbones: in the config's order.
        cells: every backbone with every target, resolution, mode, protocol and variant, in that
            order; then the controls.
        audit: section `audit`, which is no part of `settings`: no result may depend on it.
        imported: where the weights of each backbone come from that is not trained here, by name.
        controls: backbones that were never trained, where the study has any.
        detectors: every backbone with every dataset of scenes and detector; then the controls.
    """

    settings: dict[str, Any]
    backbones: tuple[Backbone, ...]
    cells: tuple[Cell, ...]
    audit: dict[str, Any]
    imported: dict[str, dict[str, Any]]
    controls: tuple[Backbone, ...] = ()
    detectors: tuple[DetectorCell, ...] = ()

    @property
    def name(self) -> str:
        """The study's name: results go to `results/<name>/`."""
        return self.settings["study"]

    @property
    def transfer_seeds(self) -> list[int]:
        """The seeds that repeat each cell."""
        return self.settings["transfer"]["seeds"]

    def dataset(self, name: str) -> dict[str, Any]:
        """Return the definition of a dataset.

        Args:
            name: as in `data.datasets`.

        Returns:
            Its keys and values, builtins only; absent options are None.

        Raises:
            ConfigError: no dataset has this name.
        """
        datasets = {each["name"]: each for each in self.settings["data"]["datasets"]}
        if name not in datasets:
            raise ConfigError(
                f"Study {self.name}: no dataset '{name}'. data.datasets defines "
                f"{', '.join(datasets)}.{did_you_mean(name, datasets)}"
            )
        return dict(datasets[name])

    def image_definition(self, name: str) -> dict[str, Any]:
        """Return what decides the images of a dataset: not how it is scored, nor who fetches it.

        Args:
            name: as in `data.datasets`.

        Raises:
            ConfigError: no dataset has this name.
        """
        definition = self.dataset(name)
        return {k: v for k, v in definition.items() if k not in ("metric", "download")}

    def scenes(self, name: str) -> dict[str, Any]:
        """Return the definition of a dataset of scenes.

        Args:
            name: as in `detect.datasets`.

        Raises:
            ConfigError: no dataset of scenes has this name.
        """
        datasets = {each["name"]: each for each in self.settings["detect"]["datasets"]}
        if name not in datasets:
            raise ConfigError(
                f"Study {self.name}: no scenes '{name}'. detect.datasets defines "
                f"{', '.join(datasets) or 'none'}.{did_you_mean(name, datasets)}"
            )
        return dict(datasets[name])

    @cached_property
    def _by_name(self) -> dict[str, Backbone]:
        """Every backbone by its name; a grid asks for them thousands of times."""
        return {backbone.name: backbone for backbone in (*self.backbones, *self.controls)}

    def backbone(self, name: str) -> Backbone:
        """Return the backbone of this name.

        Args:
            name: as `Backbone.name` spells it.

        Raises:
            ConfigError: the study has no such backbone.
        """
        names = self._by_name
        if name not in names:
            raise ConfigError(
                f"Study {self.name}: no backbone '{name}'. pretrain.backbones gives "
                f"{', '.join(names) or 'none'}.{did_you_mean(name, names)}"
            )
        return names[name]

    @property
    def targets(self) -> tuple[tuple[str, str], ...]:
        """Every (dataset, resolution) that backbones are transferred to."""
        return tuple(dict.fromkeys((cell.dataset, cell.resolution) for cell in self.cells))

    @property
    def measuring_backbone(self) -> Backbone | None:
        """The backbone whose frozen features granularity is measured by: the first standard one."""
        return next((each for each in self.backbones if each.epsilon == 0), None)

    @property
    def caches(self) -> tuple[tuple[str, str], ...]:
        """Every (dataset, resolution) whose images the study reads, the source's first."""
        pretrain = self.settings["pretrain"]
        own = len(self.backbones) > len(self.imported)
        source = [(pretrain["source"], pretrain["resolution"])] if own else []
        return tuple(dict.fromkeys(source + [(c.dataset, c.resolution) for c in self.cells]))


def expand_study(config: StudyConfig) -> Study:
    """Expand a valid config to its grid.

    Args:
        config: all checks passed.

    Returns:
        The study.
    """
    backbones = tuple(
        backbone
        for entry in config.pretrain.backbones
        for backbone in expand_entry(entry, config.pretrain.source)
    )
    targets = [
        (target.name, resolution)
        for target in config.transfer.datasets
        for resolution in target.resolutions
    ]
    transfer = config.transfer
    cells = [
        Cell(backbone, dataset, resolution, mode, protocol, variant)
        for backbone, (dataset, resolution), mode, protocol in product(
            backbones, targets, transfer.modes, transfer.protocols
        )
        for variant in variants(transfer, mode)
    ]
    detect = config.detect
    compared = transfer.controls or (detect.controls and detect.datasets)
    untrained = controls(backbones) if compared else ()
    cells += [
        Cell(backbone, dataset, resolution, MODE_OF_CONTROL[control], protocol)
        for backbone, (dataset, resolution), control, protocol in product(
            untrained, targets, transfer.controls, transfer.protocols
        )
    ]
    settings = config.model_dump(mode="json")
    audit = settings.pop("audit")
    imported = imports_of(config.pretrain)
    detectors = detector_cells(detect, backbones, untrained)
    return Study(settings, backbones, tuple(cells), audit, imported, untrained, detectors)
