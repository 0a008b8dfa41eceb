"""Scenes in the layout of Pascal VOC: JPEGImages, Annotations and ImageSets."""

import xml.etree.ElementTree as ElementTree
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.errors import DataError
from robust_transfer.images.folder import NOT_IMAGES
from robust_transfer.images.splits import split_validation
from robust_transfer.scenes.listing import BadSceneError, Marked, Scene, SceneListing

#: Folder and split of each part of Pascal VOC 2007 + 2012, as the field trains and tests.
TRAIN = (("VOC2007", "trainval"), ("VOC2012", "trainval"))
TEST = (("VOC2007", "test"),)
_TRUE = {"1": True, "0": False, "true": True, "false": False}


def list_voc(definition: dict[str, Any], data_root: str | Path) -> SceneListing:
    """List Pascal VOC: train on trainval of 2007 and 2012, test on test of 2007.

    Args:
        definition: `name` and `path`, the folder that holds VOCdevkit.
        data_root: folder that `path` is below.

    Raises:
        DataError: a folder or a list of images is missing.

    Source: Everingham et al. 2010, doi:10.1007/s11263-009-0275-4.
    """
    root = _existing(Path(data_root, definition["path"]), definition)
    if (root / "VOCdevkit").is_dir():
        root = root / "VOCdevkit"
    parts = [
        tuple(
            scene
            for folder, split in listed
            for scene in _listed(root, folder, split, definition["name"])
        )
        for listed in (TRAIN, TEST)
    ]
    return _listing(root, parts[0], parts[1], "Pascal VOC, trainval 2007 + 2012, test 2007")


def list_voc_folder(definition: dict[str, Any], data_root: str | Path) -> SceneListing:
    """List one folder in the layout of Pascal VOC.

    Args:
        definition: `name`, `path`, and `train` and `test`, names of lists in ImageSets/Main; or
            `test_fraction` and `split_seed`, which split all images and keep a class's rarest in
            both splits where that can be.
        data_root: folder that `path` is below.

    Raises:
        DataError: a folder or a list of images is missing, or no split is asked for.
    """
    root = _existing(Path(data_root, definition["path"]), definition)
    name, fraction = definition["name"], definition.get("test_fraction")
    words = f"folder {definition['path']} in the layout of Pascal VOC"
    if fraction is None:
        train, test = definition.get("train") or "trainval", definition.get("test") or "test"
        scenes = [tuple(_listed(root, ".", split, name)) for split in (train, test)]
        return _listing(root, scenes[0], scenes[1], f"{words}, lists {train} and {test}")
    if definition.get("train") or definition.get("test"):
        raise DataError(
            f"dataset '{name}': both test_fraction and a list (train, test) are given. Give one."
        )
    if definition.get("split_seed") is None:
        raise DataError(f"dataset '{name}': test_fraction needs a split_seed. Add split_seed: 0.")
    images = _images(root)
    stems = sorted(set(images) | {path.stem for path in (root / "Annotations").glob("*.xml")})
    found = [_scene(root, ".", stem, images) for stem in stems]
    seed = definition["split_seed"]
    learned, tested = split_validation(_rarest(found), fraction=fraction, seed=seed)
    return _listing(
        root,
        tuple(found[place] for place in learned),
        tuple(found[place] for place in tested),
        f"{words}, test_fraction {fraction}, split_seed {seed}",
    )


def _existing(root: Path, definition: dict[str, Any]) -> Path:
    """Return a folder that must be there."""
    if not root.is_dir():
        raise DataError(
            f"dataset '{definition['name']}', {root}: there is no such folder.\n"
            "  Check data_root and the dataset's path; unpack the images there."
        )
    return root


def _listing(
    root: Path, train: tuple[Scene, ...], test: tuple[Scene, ...], source: str
) -> SceneListing:
    """Put splits together; classes are sorted by name."""
    names = {each.name for scene in (*train, *test) for each in scene.marked}
    return SceneListing(root, train, test, tuple(sorted(names)), source)


def _rarest(scenes: list[Scene]) -> np.ndarray:
    """Number scenes by the rarest class that they show; those without objects have their own."""
    shown = Counter(name for scene in scenes for name in {each.name for each in scene.marked})
    rarest = [
        min((shown[each.name], each.name) for each in scene.marked)[1] if scene.marked else ""
        for scene in scenes
    ]
    return np.unique(rarest, return_inverse=True)[1]


def _listed(root: Path, folder: str, split: str, dataset: str) -> list[Scene]:
    """Read the scenes of one list in ImageSets/Main."""
    path = root / folder / "ImageSets" / "Main" / f"{split}.txt"
    if not path.is_file():
        found = sorted(each.stem for each in path.parent.glob("*.txt"))
        raise DataError(
            f"dataset '{dataset}', {path}: there is no such list of images; there are "
            f"{', '.join(found[:8]) or 'none'}.\n"
            "  Name another list, or give test_fraction and split_seed (kind voc_folder)."
        )
    stems = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()]
    stems = [stem for stem in stems if stem]
    twice = [stem for stem, count in Counter(stems).items() if count > 1]
    if twice:
        raise DataError(
            f"{path}: names {len(twice)} images more than once, the first is '{twice[0]}'.\n"
            "  Keep one line of each."
        )
    images = _images(root / folder)
    return [_scene(root, folder, stem, images) for stem in stems]


def _images(folder: Path) -> dict[str, list[str]]:
    """Map the stem of every image of JPEGImages to its files."""
    images: dict[str, list[str]] = {}
    place = folder / "JPEGImages"
    if not place.is_dir():
        raise DataError(f"{place}: there is no such folder. Images are expected there.")
    for path in sorted(place.iterdir()):
        if not path.name.startswith(".") and path.suffix.lower() not in NOT_IMAGES:
            images.setdefault(path.stem, []).append(path.name)
    return images


def _scene(root: Path, folder: str, stem: str, images: dict[str, list[str]]) -> Scene:
    """Read one scene; what is wrong with it becomes its problem."""
    files = images.get(stem, [f"{stem}.jpg"])
    path = Path(folder, "JPEGImages", files[0]).as_posix()
    annotations = Path(folder, "Annotations", f"{stem}.xml").as_posix()
    if len(files) > 1:
        return Scene(path, annotations, problem=f"{' and '.join(files)} have one name")
    if not (root / annotations).is_file():
        return Scene(path, "", problem=f"it has no annotations: {annotations} is missing")
    try:
        size, marked = read_annotations(root / annotations)
    except BadSceneError as problem:
        return Scene(path, annotations, problem=f"{annotations}: {problem}")
    return Scene(path, annotations, size, marked)


def read_annotations(path: Path) -> tuple[tuple[int, int] | None, tuple[Marked, ...]]:
    """Read one file of annotations.

    VOC counts pixels from 1 and includes the last one: 1 is subtracted from xmin and ymin.

    Args:
        path: an XML file.

    Returns:
        Height and width, None where they are not given (or as 0), and the objects.

    Raises:
        BadSceneError: it is no such file, or an object lacks its name or an edge of its box, or has
            a box of no size.
    """
    try:
        tree = ElementTree.fromstring(path.read_bytes())
    except (ElementTree.ParseError, ValueError) as error:
        raise BadSceneError(f"cannot be read as XML: {error}") from None
    if tree.tag != "annotation":
        raise BadSceneError(f"is no file of annotations: it holds <{tree.tag}>")
    sides = [tree.findtext(f"size/{side}") or "0" for side in ("height", "width")]
    height, width = (int(_number(side, "its size")) for side in sides)
    marked = tuple(
        _marked(element, f"object {number}")
        # Direct children alone: parts of a person have names and boxes too.
        for number, element in enumerate(tree.findall("object"), start=1)
    )
    return ((height, width) if height and width else None), marked


def _marked(element: ElementTree.Element, what: str) -> Marked:
    """Read one object."""
    name = (element.findtext("name") or "").strip()
    if not name:
        raise BadSceneError(f"{what} has no name")
    edges = []
    for side in ("xmin", "ymin", "xmax", "ymax"):
        text = element.findtext(f"bndbox/{side}")
        if text is None:
            raise BadSceneError(f"{what} ('{name}') has no {side}")
        edges.append(_number(text, f"{side} of {what} ('{name}')"))
    if edges[0] >= edges[2] or edges[1] >= edges[3]:
        # One pixel, strictly; but such boxes are slips of the hand.
        raise BadSceneError(
            f"{what} ('{name}') has a box from ({edges[0]:g}, {edges[1]:g}) to ({edges[2]:g}, "
            f"{edges[3]:g}), which is of no size"
        )
    difficult = (element.findtext("difficult") or "0").strip().lower()
    if difficult not in _TRUE:
        raise BadSceneError(f"{what} ('{name}'): difficult is '{difficult}', expected 0 or 1")
    box = (edges[0] - 1, edges[1] - 1, edges[2], edges[3])
    return Marked(name, box, difficult=_TRUE[difficult])


def _number(text: str, what: str) -> float:
    """Read a number."""
    try:
        return float(text)
    except ValueError:
        raise BadSceneError(f"{what} is '{text}', which is no number") from None
