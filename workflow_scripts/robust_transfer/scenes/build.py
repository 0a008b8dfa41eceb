"""Building a scene cache from the definition of a dataset."""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import ConfigError, DataError, did_you_mean
from robust_transfer.files import sha256
from robust_transfer.images.listing import Listing
from robust_transfer.images.parts import Recipe, fill_from_files
from robust_transfer.images.stream import PixelStream
from robust_transfer.images.write import Entry
from robust_transfer.progress import progress
from robust_transfer.scenes.coco import list_coco, list_coco_folder
from robust_transfer.scenes.listing import SceneListing
from robust_transfer.scenes.objects import Objects
from robust_transfer.scenes.settle import Settled, refuse, settle
from robust_transfer.scenes.toy import ToyScenes
from robust_transfer.scenes.voc import list_voc, list_voc_folder
from robust_transfer.scenes.write import Described, write_scene_cache

READERS: dict[str, Callable[[dict[str, Any], str | Path], SceneListing]] = {
    "voc": list_voc,
    "coco": list_coco,
    "voc_folder": list_voc_folder,
    "coco_folder": list_coco_folder,
}
KINDS = ("toy_scenes", *READERS)


def build_scene_cache(
    definition: dict[str, Any],
    *,
    data_root: str | Path,
    on_bad_image: str,
    output: str | Path,
    workers: int = 1,
    code: str = "",
) -> None:
    """Build the scene cache of one dataset; the order of work never shows.

    A build of files that was killed is gone on from: see `images.parts`.

    Args:
        definition: `name`, `kind` and the keys of that kind.
        data_root: folder below which the `path` of a dataset is.
        on_bad_image: `stop`, or `leave_out`: record it in the manifest and go on.
        output: the folder where images.npy, shapes.npy, objects.npz, files.csv and manifest.json
            go.
        workers: processes that decode; 1: this one.
        code: digest of the code: what other code left is not gone on from.

    Raises:
        ConfigError: unknown kind or `on_bad_image`.
        DataError: images or annotations are missing, unreadable or contradict each other; the disk
            refuses.
    """
    _check(definition, on_bad_image)
    told = {"dataset": definition["name"], "kind": definition["kind"]}
    told["max_side"] = definition.get("max_side")
    label = f"{definition['name']}, scenes"
    if definition["kind"] == "toy_scenes":
        toy = ToyScenes(definition)

        def render(stream: PixelStream) -> Iterator[tuple[Entry, Objects]]:
            return progress(toy.fill(stream), total=sum(toy.counts), label=label)

        question = hashlib.sha256(json.dumps([definition, code]).encode()).hexdigest()[:16]
        write_scene_cache(Path(output), render, toy.described(told), question=question)
        return
    listing = READERS[definition["kind"]](definition, data_root)
    policy = {"name": definition["name"], "on_bad_image": on_bad_image}
    settled = settle(listing, max_side=definition.get("max_side"), **policy)
    described = _described(listing, settled, told)
    recipe = Recipe(listing.root, "native", None, definition.get("max_side"))

    def fill(stream: PixelStream) -> Iterator[tuple[Entry, Objects]]:
        entries = fill_from_files(stream, described.images, recipe, workers)
        usable = _usable(entries, listing.root, settled, **policy)
        return progress(usable, total=len(settled.scenes), label=label)

    question = recipe.question(described.images, code)
    write_scene_cache(Path(output), fill, described, question=question)


def _check(definition: dict[str, Any], on_bad_image: str) -> None:
    """Refuse what is no kind or no policy."""
    if on_bad_image not in ("stop", "leave_out"):
        raise ConfigError(
            f"detect, on_bad_image: there is no '{on_bad_image}'.\n  Choose stop or leave_out."
            + did_you_mean(on_bad_image, ["stop", "leave_out"])
        )
    if definition["kind"] not in KINDS:
        raise ConfigError(
            f"dataset '{definition['name']}', kind: there is no '{definition['kind']}'.\n"
            f"  Choose one of {', '.join(KINDS)}.{did_you_mean(definition['kind'], KINDS)}"
        )


def _described(listing: SceneListing, settled: Settled, told: dict[str, Any]) -> Described:
    """Say what the writer of the cache needs to know."""
    annotations = tuple(scene.annotations for scene in settled.scenes)
    return Described(
        images=Listing(
            classes=(),
            labels=np.zeros(len(settled.scenes), np.int64),
            n_train=settled.n_train,
            source=listing.source,
            root=listing.root,
            paths=tuple(scene.path for scene in settled.scenes),
        ),
        classes=settled.classes,
        annotations=annotations,
        annotations_sha256={path: sha256(listing.root / path) for path in set(annotations)},
        masks=settled.masks,
        left_out=settled.left_out,
        told=told | listing.told | settled.told,
    )


def _usable(
    entries: Iterator[Entry], root: Path, settled: Settled, *, name: str, on_bad_image: str
) -> Iterator[tuple[Entry, Objects]]:
    """Set the objects beside each entry; images that cannot be decoded stop it, or lose theirs."""
    learned: set[int] = set()
    for entry in entries:
        scene, objects = settled.scenes[entry.index], settled.objects[entry.index]
        if entry.problem and on_bad_image == "stop":
            refuse(root, scene.path, scene.annotations, name, entry.problem)
        if not entry.problem and entry.index < settled.n_train:
            learned |= set(objects.classes.tolist())
        yield entry, objects
    lost = sorted(set(range(len(settled.classes))) - learned)
    if lost:
        raise DataError(
            f"dataset '{name}', class '{settled.classes[lost[0]]}': no training image of it can "
            "be decoded.\n  Repair the images, or remove the class."
        )
