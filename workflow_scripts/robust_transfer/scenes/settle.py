"""From annotations to objects that can be relied on: what does not fit its image is found here."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import NoReturn

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.decode import BadImageError, upright_size
from robust_transfer.images.resize import reduced_size
from robust_transfer.progress import progress
from robust_transfer.scenes.listing import BadSceneError, Marked, Scene, SceneListing
from robust_transfer.scenes.masks import BadMaskError, from_outline
from robust_transfer.scenes.objects import Objects, box_areas

INSIDE = 0.5  # share of a box that lies in its image, from which the rest is cut off

Size = tuple[int, int]  # height and width, pixels


@dataclass(frozen=True)
class Settled:
    """Scenes without those that cannot be used.

    Attributes:
        scenes: those that are kept, training scenes first.
        objects: of each.
        n_train: how many of them are training scenes.
        classes: names of the classes that occur in training.
        masks: whether objects have masks.
        left_out: `path` and `reason` of the others.
        told: counts for the manifest.
    """

    scenes: tuple[Scene, ...]
    objects: tuple[Objects, ...]
    n_train: int
    classes: tuple[str, ...]
    masks: bool
    left_out: tuple[dict[str, str], ...]
    told: dict[str, int]


@dataclass(frozen=True)
class _Row:
    """A scene that can be used; `masks` has None for an object without an outline."""

    scene: Scene
    objects: Objects
    masks: tuple[bytes | None, ...]
    stored: Size
    clipped: int


def settle(listing: SceneListing, *, name: str, max_side: int | None, on_bad_image: str) -> Settled:
    """Check every scene against its image, of which only the size is read.

    Args:
        listing: the dataset.
        name: its name, for messages.
        max_side: longer sides are reduced to so many pixels; None: none is.
        on_bad_image: `stop` or `leave_out`.

    Raises:
        DataError: a scene cannot be used (`stop`), or no object is left in train, no image in test.
    """
    left_out: list[dict[str, str]] = []
    kept: dict[str, list[_Row]] = {"train": [], "test": []}
    learned: set[int] | None = None
    for split, scenes in (("train", listing.train), ("test", listing.test)):
        for scene in progress(scenes, total=len(scenes), label=f"{name}, {split} annotations"):
            try:
                kept[split].append(_row(scene, listing, learned, max_side))
            except (BadSceneError, BadImageError, BadMaskError) as problem:
                if on_bad_image == "stop":
                    refuse(listing.root, scene.path, scene.annotations, name, str(problem))
                left_out.append({"path": scene.path, "reason": str(problem)})
        if learned is None:
            learned = {int(each) for row in kept["train"] for each in row.objects.classes}
    _check_left(kept, learned or set(), listing.root, name, left_out)
    return _settled(kept, sorted(learned or ()), listing, left_out)


def refuse(root: Path, path: str, annotations: str, name: str, problem: str) -> NoReturn:
    """Raise the DataError of a scene that cannot be used."""
    described = f", described by {annotations}" if annotations else ""
    raise DataError(
        f"{root / path}{described} (dataset '{name}'): this image cannot be used: {problem}.\n"
        "  Repair or remove it, or set detect: on_bad_image: leave_out, which leaves such images "
        "out and lists them in the manifest."
    )


def _check_left(
    kept: dict[str, list[_Row]],
    learned: set[int],
    root: Path,
    name: str,
    left_out: list[dict[str, str]],
) -> None:
    """Refuse a dataset with nothing to learn or nothing to test."""
    if learned and kept["test"]:
        return
    lacking = "test image" if learned else "object to train on"
    first = left_out[0] if left_out else None
    why = f"; {len(left_out)} images were left out, the first is {first['path']} " if first else ""
    raise DataError(
        f"dataset '{name}', {root}: there is no {lacking}"
        + why
        + (f"({first['reason']})" if first else "")
        + ".\n  Check the annotations and the path."
    )


def _settled(
    kept: dict[str, list[_Row]],
    learned: list[int],
    listing: SceneListing,
    left_out: list[dict[str, str]],
) -> Settled:
    """Number the classes that occur anew, and keep masks where every object has one."""
    rows = [*kept["train"], *kept["test"]]
    number = np.zeros(len(listing.classes), np.int64)
    number[learned] = np.arange(len(learned))
    lacking = sum(
        mask is None and not crowd
        for row in rows
        for mask, crowd in zip(row.masks, row.objects.crowd, strict=True)
    )
    masked = lacking == 0 and any(mask is not None for row in rows for mask in row.masks)
    objects = tuple(
        replace(
            row.objects,
            classes=number[row.objects.classes],
            masks=_whole_masks(row) if masked else None,
        )
        for row in rows
    )
    told = {f"clipped_{split}": sum(row.clipped for row in each) for split, each in kept.items()}
    return Settled(
        scenes=tuple(row.scene for row in rows),
        objects=objects,
        n_train=len(kept["train"]),
        classes=tuple(listing.classes[label] for label in learned),
        masks=masked,
        left_out=tuple(left_out),
        told=told | {"objects_without_mask": lacking},
    )


def _whole_masks(row: _Row) -> tuple[bytes, ...]:
    """Return the masks of a scene; a crowd without an outline gets that of its box."""
    filled = []
    for mask, (x0, y0, x1, y1) in zip(row.masks, row.objects.boxes.tolist(), strict=True):
        corners = [x0, y0, x1, y0, x1, y1, x0, y1]
        filled.append(from_outline([corners], row.stored, row.stored) if mask is None else mask)
    return tuple(filled)


def _row(
    scene: Scene, listing: SceneListing, learned: set[int] | None, max_side: int | None
) -> _Row:
    """Make the objects of one scene; `learned`: the classes of train, None while they are found."""
    size = _size(scene, listing.root)
    width, height = reduced_size(size[1], size[0], max_side)
    scale = np.array([width / size[1], height / size[0]] * 2)
    position = {name: place for place, name in enumerate(listing.classes)}
    boxes, areas, masks, clipped = np.zeros((len(scene.marked), 4)), [], [], 0
    for row, each in enumerate(scene.marked):
        what = f"object {row + 1} ('{each.name}')"
        if learned is not None and position[each.name] not in learned:
            raise BadSceneError(f"{what} is of a class without any object to train on")
        box = _fit(each, size, what)
        clipped += box != each.box
        boxes[row] = np.array(box) * scale
        try:
            outline = each.outline
            masks.append(from_outline(outline, size, (height, width)) if outline else None)
        except BadMaskError as problem:
            raise BadMaskError(f"{what}: {problem}") from None
        given = each.area is not None and np.isfinite(each.area) and each.area > 0
        areas.append(each.area * scale[0] * scale[1] if given and each.area else np.nan)
    found = np.array(areas, np.float64)
    objects = Objects(
        boxes=boxes.astype(np.float32),
        classes=np.array([position[each.name] for each in scene.marked], np.int64),
        crowd=np.array([each.crowd for each in scene.marked], bool),
        difficult=np.array([each.difficult for each in scene.marked], bool),
        areas=np.where(np.isnan(found), box_areas(boxes), found),
        masks=None,
    )
    return _Row(scene, objects, tuple(masks), (height, width), clipped)


def _size(scene: Scene, root: Path) -> Size:
    """Read the size of a scene's image and compare it with the one annotated."""
    if scene.problem:
        raise BadSceneError(scene.problem)
    try:
        size = upright_size(root / scene.path)
    except FileNotFoundError:
        raise BadSceneError("there is no such file") from None
    except OSError as error:  # the disk's fault, not the image's: never left out
        raise DataError(
            f"{root / scene.path}: the file cannot be read: {error.strerror}.\n"
            "  Check the permissions and the disk."
        ) from None
    if scene.size is not None and scene.size != size:
        raise BadSceneError(
            f"it is {size[1]} x {size[0]} pixels (width, height), its annotations are of one of "
            f"{scene.size[1]} x {scene.size[0]}"
        )
    return size


def _fit(each: Marked, size: Size, what: str) -> tuple[float, float, float, float]:
    """Cut a box off at the edges of its image."""
    x0, y0, x1, y1 = each.box
    if not np.isfinite(each.box).all():
        raise BadSceneError(f"{what} has a box with a side that is not finite")
    spelled = f"a box from ({x0:g}, {y0:g}) to ({x1:g}, {y1:g})"
    if x1 <= x0 or y1 <= y0:
        raise BadSceneError(f"{what} has {spelled}, which is of no size")
    left, top = max(x0, 0.0), max(y0, 0.0)
    right, bottom = min(x1, float(size[1])), min(y1, float(size[0]))
    inside = max(0.0, right - left) * max(0.0, bottom - top)
    if inside < INSIDE * (x1 - x0) * (y1 - y0):
        raise BadSceneError(
            f"{what} has {spelled}, of which more than half lies outside of the image "
            f"({size[1]} x {size[0]} pixels)"
        )
    return left, top, right, bottom
