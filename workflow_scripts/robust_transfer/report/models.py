"""The models that a study exports, as the page shows them: what each is, costs and gets wrong."""

import base64
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

#: Classes of a confusion matrix that is shown whole; beyond, its largest entries stand alone.
MOST_CLASSES = 30
MOST_CONFUSIONS = 20
#: Longer side of a shown image, in pixels.
_SIDE = 160


@dataclass(frozen=True)
class Mistake:
    """An image that the model gets wrong: its pixels, its file, and both classes."""

    picture: str
    path: str
    true: str
    predicted: str
    loss: float


@dataclass(frozen=True)
class Model:
    """An exported model.

    Attributes:
        about: its record.
        folder: where it lies.
        snippet: the lines that load it.
        classes: names; empty where there are too many for a matrix.
        counts: test images by true class (row) and predicted class; empty likewise.
        confused: the largest counts off the diagonal: (true, predicted, count, of how many).
        mistakes: the worst first.
    """

    about: dict[str, Any]
    folder: str
    snippet: str
    classes: tuple[str, ...]
    counts: tuple[tuple[int, ...], ...]
    confused: tuple[tuple[str, str, int, int], ...]
    mistakes: tuple[Mistake, ...]


def exported_models(
    abouts: Sequence[str | Path],
    snippets: Sequence[str | Path],
    confusions: Sequence[str | Path],
    mistakes: Sequence[str | Path],
) -> list[Model]:
    """Read what the export of each model wrote, in the same order.

    Args:
        abouts: records.
        snippets: Python files that load the models.
        confusions: CSV files: a row a true class, a column a predicted one.
        mistakes: .npz files: `images` (n, h, w, 3) uint8, `paths`, `true`, `predicted`, `loss`.
    """
    return [
        _model(*(Path(path) for path in paths))
        for paths in zip(abouts, snippets, confusions, mistakes, strict=True)
    ]


def _model(about: Path, snippet: Path, confusion: Path, mistakes: Path) -> Model:
    # A class may be called NA, and pandas would take it for an absent value.
    table = pd.read_csv(confusion, index_col=0, keep_default_na=False)
    names = tuple(str(name) for name in table.index)
    counts = table.to_numpy()
    few = len(names) <= MOST_CLASSES
    return Model(
        about=json.loads(about.read_text(encoding="utf-8")),
        folder=about.parent.as_posix(),
        snippet=snippet.read_text(encoding="utf-8"),
        classes=names if few else (),
        counts=tuple(tuple(int(n) for n in row) for row in counts) if few else (),
        confused=_confused(names, counts),
        mistakes=_mistakes(mistakes),
    )


def _confused(names: tuple[str, ...], counts: np.ndarray) -> tuple[tuple[str, str, int, int], ...]:
    """Return the largest counts off the diagonal; of equal ones, the first class first."""
    wrong = counts - np.diag(np.diag(counts))
    totals = counts.sum(axis=1)
    order = np.argsort(-wrong, axis=None, kind="stable")[:MOST_CONFUSIONS]
    places = [divmod(int(place), len(names)) for place in order]
    return tuple(
        (names[true], names[said], int(wrong[true, said]), int(totals[true]))
        for true, said in places
        if wrong[true, said]
    )


def _mistakes(path: Path) -> tuple[Mistake, ...]:
    with np.load(path, allow_pickle=False) as stored:
        columns = [stored[name] for name in ("images", "paths", "true", "predicted", "loss")]
    return tuple(
        Mistake(_picture(pixels), str(file), str(true), str(predicted), float(loss))
        for pixels, file, true, predicted, loss in zip(*columns, strict=True)
    )


def _picture(pixels: np.ndarray) -> str:
    """Return (h, w, 3) uint8 pixels as an address that holds the image itself."""
    image = Image.fromarray(pixels)
    image.thumbnail((_SIDE, _SIDE))
    written = io.BytesIO()
    image.save(written, "JPEG", quality=88)
    return "data:image/jpeg;base64," + base64.b64encode(written.getvalue()).decode()
