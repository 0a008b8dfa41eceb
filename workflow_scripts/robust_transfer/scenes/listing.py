"""What a dataset of scenes consists of, as its annotations give it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


class BadSceneError(Exception):
    """An image whose annotations cannot be used; the message says why."""


@dataclass(frozen=True, slots=True)
class Marked:
    """One object as it is annotated.

    Attributes:
        name: of its class.
        box: x0, y0, x1, y1, pixels of the original; x1, y1 exclusive.
        crowd: COCO `iscrowd`.
        difficult: VOC `difficult`.
        area: COCO `area`, pixels of the original; None where it is not given.
        outline: COCO `segmentation`; None where it is not given.
    """

    name: str
    box: tuple[float, float, float, float]
    crowd: bool = False
    difficult: bool = False
    area: float | None = None
    outline: Any = None


@dataclass(frozen=True, slots=True)
class Scene:
    """One image as it is annotated.

    Attributes:
        path: POSIX path of the image below the root.
        annotations: that of the file that describes it.
        size: height and width as annotated, pixels; None where they are not.
        marked: its objects.
        problem: why it cannot be used; empty when it can.
    """

    path: str
    annotations: str
    size: tuple[int, int] | None = None
    marked: tuple[Marked, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class SceneListing:
    """The scenes of a dataset.

    Attributes:
        root: folder that paths are relative to.
        train: training scenes.
        test: test scenes.
        classes: every name that an object may have, in the dataset's order.
        source: where the scenes are from, in words.
        told: what else the manifest should say, builtins only.
    """

    root: Path
    train: tuple[Scene, ...]
    test: tuple[Scene, ...]
    classes: tuple[str, ...]
    source: str
    told: dict[str, Any] = field(default_factory=dict)
