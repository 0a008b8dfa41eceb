"""What a command line may say in a word: `data=/path/to/folder`, `backbones=results/demo`."""

import json
from pathlib import Path
from typing import Any

from robust_transfer.config.grid import NO_SOURCE
from robust_transfer.errors import ConfigError

TEMPLATE = "my_images"  # the section that says how a folder given by `data=` is read
_TEST_FOLDERS = ("test", "val", "valid")


def expand_shorthand(config: dict[str, Any]) -> dict[str, Any]:
    """Return a config with its shorthand spelled out; one without any comes back as it is.

    Args:
        config: as YAML and the command line give it.

    Raises:
        ConfigError: no such folder, no finished study, or a study that takes none.
    """
    template = config.get(TEMPLATE)
    config = {key: value for key, value in config.items() if key != TEMPLATE}
    if isinstance(config.get("data"), str):
        config["data"] = _folder(Path(config["data"]), template)
    elif template is not None:
        raise ConfigError(
            f"{TEMPLATE}: say where your images are: --config data=/path/to/folder.\n"
            "  The folder holds <class>/<image>, or train/<class>/<image> and test/<class>/<image>."
        )
    if isinstance(config.get("backbones"), str):
        folder = Path(config.pop("backbones"))
        source, entries = _backbones(folder)
        pretrain = config.get("pretrain")
        config["pretrain"] = (pretrain if isinstance(pretrain, dict) else {}) | {
            "source": source,
            "backbones": entries,
        }
    return config


def _folder(path: Path, template: Any) -> dict[str, Any]:
    """Make the section `data` of a folder of images."""
    if not isinstance(template, dict):
        raise ConfigError(
            f"data: '{path}' is a path, where this study has a section.\n  "
            "For your own images: --configfile studies/my_images.yaml --config data=/path"
        )
    if not path.is_dir():
        raise ConfigError(f"data: there is no folder '{path}' (looked for {path.absolute()}).")
    dataset = {"name": TEMPLATE, "kind": "folder", "path": str(path.absolute())}
    given = dict(template)
    data = {key: given.pop(key) for key in ("on_bad_image", "native_short_side") if key in given}
    split = (path / "train").is_dir() and any((path / name).is_dir() for name in _TEST_FOLDERS)
    if split:  # the folder brings its own split
        given = {k: v for k, v in given.items() if k not in ("test_fraction", "split_seed")}
    return data | {"datasets": [dataset | given]}


def _backbones(folder: Path) -> tuple[str, list[dict[str, Any]]]:
    """List the backbones of a finished study: the source's name, and an entry for each."""
    found = sorted(folder.glob("*/*/weights.safetensors"))
    found = [path for path in found if _recipe(path)["source"] != NO_SOURCE]
    if not found:
        raise ConfigError(
            f"backbones: no pretrained backbone below '{folder}' (looked for "
            f"{folder.absolute()}/pretrain/*/weights.safetensors).\n"
            "  Name the results folder of a finished study, such as results/demo."
        )
    entries, sources = [], set()
    for path in found:
        recipe = _recipe(path)
        sources.add(recipe["source"])
        record = path.with_name("backbone.json")
        scores = json.loads(record.read_text(encoding="utf-8")) if record.is_file() else {}
        weights = {"origin": str(path), "source_accuracy": scores.get("source_accuracy")}
        entry = {key: recipe[key] for key in ("architecture", "norm", "epsilon")}
        entries.append(entry | {"seeds": [recipe["seed"]], "weights": weights})
    if len(sources) > 1:
        raise ConfigError(
            f"backbones: those below '{folder}' have several sources: {', '.join(sorted(sources))}."
        )
    return sources.pop(), entries


def _recipe(path: Path) -> dict[str, Any]:
    """Read the recipe in the header of a safetensors file: its length, then JSON."""
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        try:
            header = json.loads(stream.read(min(length, 100_000_000)))
            recipe: dict[str, Any] = json.loads(header["__metadata__"]["recipe"])
        except (ValueError, KeyError):
            raise ConfigError(f"backbones: {path} is no backbone of this workflow.") from None
    return recipe
