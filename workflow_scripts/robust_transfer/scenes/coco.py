"""Scenes in COCO's layout: folders of images, and one JSON file for each split."""

import json
from collections import Counter
from pathlib import Path, PurePosixPath
from typing import Any

from robust_transfer.errors import DataError
from robust_transfer.images.folder import NOT_IMAGES
from robust_transfer.scenes.listing import BadSceneError, Marked, Scene, SceneListing

#: Images and annotations of COCO 2017.
COCO_2017 = {
    "train": {"images": "train2017", "annotations": "annotations/instances_train2017.json"},
    "test": {"images": "val2017", "annotations": "annotations/instances_val2017.json"},
}
_PARTS = ("images", "annotations", "categories")


def list_coco(definition: dict[str, Any], data_root: str | Path) -> SceneListing:
    """List COCO 2017: train on train2017, test on val2017.

    Args:
        definition: `name` and `path`.
        data_root: folder that `path` is below.

    Raises:
        DataError: as `list_coco_folder`.

    Source: Lin et al. 2014, arXiv:1405.0312.
    """
    return _list(definition | COCO_2017, data_root, "COCO 2017, train2017 and val2017")


def list_coco_folder(definition: dict[str, Any], data_root: str | Path) -> SceneListing:
    """List any folder with COCO's annotations.

    Args:
        definition: `name`, `path`, and `train` and `test`, each with `images`, a folder, and
            `annotations`, a JSON file, both below `path`.
        data_root: folder that `path` is below.

    Raises:
        DataError: a file is missing or no such JSON, an id or a file stands twice, or the two
            splits number classes differently.
    """
    source = f"folder {definition['path']} with COCO annotations"
    return _list(definition, data_root, source)


def _list(definition: dict[str, Any], data_root: str | Path, source: str) -> SceneListing:
    """List both splits; classes are sorted by id."""
    root = Path(data_root, definition["path"])
    scenes, names = {}, {}
    for split in ("train", "test"):
        place = definition[split]
        record = _load(root, place["annotations"], definition["name"])
        names[split] = _categories(record["categories"], root / place["annotations"])
        scenes[split] = _scenes(record, names[split], place, root)
    for number, name in names["test"].items():
        if names["train"].get(number, name) != name:
            raise DataError(
                f"dataset '{definition['name']}', {root}: category {number} is "
                f"'{names['train'][number]}' in train and '{name}' in test.\n"
                "  Number the categories alike in both files."
            )
    together = names["test"] | names["train"]
    classes = tuple(dict.fromkeys(together[number] for number in sorted(together)))
    return SceneListing(
        root=root,
        train=scenes["train"],
        test=scenes["test"],
        classes=classes,
        source=source,
        told={"images_not_listed": _count_not_listed(root, definition, scenes)},
    )


def _load(root: Path, path: str, dataset: str) -> dict[str, Any]:
    """Read a file of annotations."""
    file = root / path
    if not file.is_file():
        raise DataError(
            f"dataset '{dataset}', {file}: there is no such file of annotations.\n"
            "  Check data_root and the dataset's path; unpack images and annotations there."
        )
    try:
        record = json.loads(file.read_bytes())
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file}: cannot be read as JSON: {error}.\n  Get it again.") from None
    for part in _PARTS:
        if not isinstance(record, dict) or not isinstance(record.get(part), list):
            raise DataError(f"{file}: holds no list '{part}', as COCO's annotations do.")
        if not all(isinstance(entry, dict) for entry in record[part]):
            raise DataError(f"{file}, {part}: holds something that is no record.")
    return record


def _unique(entries: list[dict[str, Any]], key: str, file: Path, part: str) -> None:
    """Raise DataError where a value that names an entry stands twice or is missing."""
    try:
        counts = Counter(entry[key] for entry in entries)
    except (KeyError, TypeError):
        raise DataError(f"{file}, {part}: an entry has no '{key}' that names it.") from None
    twice = [value for value, count in counts.items() if count > 1]
    if twice:
        raise DataError(
            f"{file}, {part}: {len(twice)} values of '{key}' stand more than once, the first is "
            f"{twice[0]!r}.\n  Keep one entry of each."
        )


def _categories(entries: list[dict[str, Any]], file: Path) -> dict[int, str]:
    """Return the name of each category by its id; ids may have holes."""
    for key in ("id", "name"):
        _unique(entries, key, file, "categories")
    return {entry["id"]: str(entry["name"]) for entry in entries}


def _scenes(
    record: dict[str, Any], names: dict[int, str], place: dict[str, str], root: Path
) -> tuple[Scene, ...]:
    """Read the scenes of one split, in the order of their ids."""
    file = root / place["annotations"]
    for key in ("id", "file_name"):
        _unique(record["images"], key, file, "images")
    with_id = [entry for entry in record["annotations"] if "id" in entry]
    _unique(with_id, "id", file, "annotations")
    by_image: dict[Any, list[dict[str, Any]]] = {entry["id"]: [] for entry in record["images"]}
    strays = Counter()  # type: Counter[str]
    for entry in record["annotations"]:
        if entry.get("image_id") in by_image:
            by_image[entry["image_id"]].append(entry)
        else:
            strays[f"image id {entry.get('image_id')!r}"] += 1
    scenes = [
        _scene(entry, by_image[entry["id"]], names, place)
        # Ids are numbers, or names, in some files.
        for entry in sorted(record["images"], key=lambda entry: str(entry["id"]).zfill(20))
    ]
    scenes += [
        Scene(stray, place["annotations"], problem=f"{count} annotations are of it, and no image")
        for stray, count in strays.items()
    ]
    return tuple(scenes)


def _scene(
    entry: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: dict[int, str],
    place: dict[str, str],
) -> Scene:
    """Read one scene; what is wrong with it becomes its problem."""
    name = PurePosixPath(str(entry["file_name"]))
    path = (PurePosixPath(place["images"]) / name).as_posix()
    try:
        if name.is_absolute() or ".." in name.parts:
            raise BadSceneError(f"its file_name, {name}, leaves the folder of images")
        size = _size(entry)
        marked = tuple(_marked(each, number, names) for number, each in enumerate(annotations, 1))
    except BadSceneError as problem:
        return Scene(path, place["annotations"], problem=str(problem))
    return Scene(path, place["annotations"], size, marked)


def _size(entry: dict[str, Any]) -> tuple[int, int] | None:
    """Return height and width as they are given, if they are."""
    height, width = entry.get("height"), entry.get("width")
    if not (height and width):
        return None
    if not (isinstance(height, int | float) and isinstance(width, int | float)):
        raise BadSceneError(f"its height and width are {height!r} and {width!r}: no numbers")
    return int(height), int(width)


def _marked(entry: dict[str, Any], number: int, names: dict[int, str]) -> Marked:
    """Read one object: COCO gives a box as x, y, width, height."""
    what = f"object {number} (annotation {entry.get('id')})"
    category = entry.get("category_id")
    if category not in names:
        raise BadSceneError(f"{what} is of category {category!r}, which the file does not list")
    try:
        x, y, width, height = (float(each) for each in entry["bbox"])
        area = float(entry["area"]) if entry.get("area") is not None else None
    except (KeyError, TypeError, ValueError):
        raise BadSceneError(
            f"{what} has no bbox of four numbers, or an area that is none"
        ) from None
    return Marked(
        name=names[category],
        box=(x, y, x + width, y + height),
        crowd=bool(entry.get("iscrowd", 0)),
        area=area,
        outline=entry.get("segmentation") or None,
    )


def _count_not_listed(
    root: Path, definition: dict[str, Any], scenes: dict[str, tuple[Scene, ...]]
) -> int:
    """Count files beside the images that no annotations list; whether they show objects is unknown.

    Two splits may share a folder.
    """
    listed = {scene.path for split in scenes.values() for scene in split}
    count = 0
    for folder in sorted({definition[split]["images"] for split in scenes}):
        place = root / folder
        for path in place.iterdir() if place.is_dir() else ():
            known = (PurePosixPath(folder) / path.name).as_posix() in listed
            hidden = path.name.startswith(".") or path.suffix.lower() in NOT_IMAGES
            count += not (known or hidden or path.is_dir())
    return count
