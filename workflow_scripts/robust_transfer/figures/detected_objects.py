"""A few scenes with the true objects, and what detectors on each backbone found."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from robust_transfer.figures.identities import Identity
from robust_transfer.figures.results import rows_of
from robust_transfer.figures.style import COLOUR, LINES, in_style, missing, note, panels
from robust_transfer.statistics.main_rows import NO_SOURCE

MOST_ROWS = 6
SHOWN = ["row", "shown_as", "image", "kind", "class", "score", "x0", "y0", "x1", "y1"]
TRUE, FOUND = "true", "found"
Arrays = Mapping[str, np.ndarray]


def chosen_scenes(
    paths: Iterable[str | Path], detection: pd.DataFrame
) -> tuple[str, dict[str, dict[str, np.ndarray]]]:
    """Choose the detectors whose finds are shown: of one dataset and kind, one a backbone.

    Args:
        paths: of examples.npz: `.../<backbone>/<scenes>/<detector>/seed<k>/examples.npz`.
        detection: rows of detection.csv: they say what each backbone is.

    Returns:
        The name of the dataset, and what a row is called -> its arrays: standard first, then by
        epsilon, then never pretrained. Detectors with masks come before those without, and of
        backbones that differ by their seed alone one is shown.
    """
    known = {str(row.backbone): row for row in rows_of(detection.drop_duplicates("backbone"))}
    found: dict[tuple[bool, str, str], dict[tuple[Any, ...], tuple[str, Path]]] = {}
    for path in sorted(map(Path, paths)):
        backbone, scenes, detector = path.parts[-5:-2]
        row = known[backbone]
        untrained = row.source == NO_SOURCE
        label = Identity(str(row.architecture), str(row.norm), float(row.epsilon)).label
        label = f"{row.architecture}\nnever pretrained" if untrained else label
        order = (untrained, str(row.architecture), str(row.norm), float(row.epsilon))
        group = found.setdefault((not detector.startswith("mask"), scenes, detector), {})
        group.setdefault(order, (label, path))
    if not found:
        return "", {}
    (_, scenes, _), group = min(found.items(), key=lambda each: each[0])
    return scenes, {label: dict(np.load(path)) for _, (label, path) in sorted(group.items())}


def object_data(examples: Mapping[str, Arrays]) -> pd.DataFrame:
    """Tabulate every box that the figure draws.

    Args:
        examples: what a row of the figure is called -> arrays as `write_examples` wrote them; all
            of one dataset.

    Returns:
        One row a box: true ones once, under the first name; found ones under each.
    """
    rows: list[dict[str, Any]] = []
    for place, (name, arrays) in enumerate(list(examples.items())[:MOST_ROWS]):
        classes = arrays["classes"]
        for image in range(int(arrays["count"])):
            for kind in (TRUE, FOUND) if place == 0 else (FOUND,):
                boxes, labels = (arrays[f"{kind}_{part}_{image}"] for part in ("boxes", "classes"))
                scores = arrays[f"found_scores_{image}"] if kind == FOUND else [np.nan] * len(boxes)
                rows += [
                    dict(zip(SHOWN, (place, name, image, kind, str(classes[label]), float(score),
                                     *map(float, box)), strict=True))
                    for box, label, score in zip(boxes, labels, scores, strict=True)
                ]  # fmt: skip
    return pd.DataFrame(rows, columns=SHOWN)


@in_style
def draw_objects(
    data: pd.DataFrame, examples: Mapping[str, Arrays], *, toy: bool, nothing: str
) -> Figure:
    """Draw a row of scenes with their true objects, then a row a backbone with what was found.

    Args:
        data: as `object_data` returns it; it may be empty.
        examples: the same examples.
        toy: whether the scenes are a toy.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    names = list(examples)[:MOST_ROWS]
    first = examples[names[0]]
    columns = int(first["count"])
    figure, axes = panels(
        1 + len(names), columns, panel=(1.45, 1.3), left=1.5, top=0.3, bottom=0.42, gap=(0.08, 0.14)
    )
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    for row, name in enumerate([names[0], *names]):
        kind = FOUND if row else TRUE
        for image in range(columns):
            drawn = data[(data["kind"] == kind) & (data["image"] == image)
                         & (data["row"] == max(0, row - 1))]  # fmt: skip
            _scene(axes[row, image], examples[name], image, kind, drawn)
        text = name if row else "true objects" + " (toy scenes)" * toy
        axes[row, 0].set_ylabel(text, rotation=0, ha="right", va="center", fontsize=7.5, labelpad=6)
    note(figure, "The first test images that show an object. A detector's row: detections with a "
                 "score of at least 0.5, with class and score; masks are tinted.")  # fmt: skip
    return figure


def _scene(axes: Axes, arrays: Arrays, image: int, kind: str, boxes: pd.DataFrame) -> None:
    """Draw one scene with its boxes, and tint its masks."""
    pixels = arrays[f"image_{image}"].astype(float) / 255
    colours = _colours(list(arrays["classes"]))
    masks, labels = arrays.get(f"{kind}_masks_{image}"), arrays[f"{kind}_classes_{image}"]
    for mask, label in zip(masks if masks is not None else (), labels, strict=False):
        tint = np.array(to_rgb(colours[str(arrays["classes"][label])]))
        pixels[mask] = 0.5 * pixels[mask] + 0.5 * tint
    axes.imshow(pixels, interpolation="none")
    for row in rows_of(boxes.rename(columns={"class": "name"})):
        colour = colours[row.name]
        axes.add_patch(Rectangle((row.x0 - 0.5, row.y0 - 0.5), row.x1 - row.x0, row.y1 - row.y0,
                                 fill=False, edgecolor=colour, linewidth=1.1))  # fmt: skip
        text = row.name if kind == TRUE else f"{row.name} {row.score:.2f}"
        axes.text(row.x0, row.y0 - 1, text, fontsize=5, color=COLOUR["paper"], va="bottom",
                  bbox={"facecolor": colour, "edgecolor": "none", "pad": 0.6},
                  clip_on=True)  # fmt: skip


def _colours(classes: list[Any]) -> dict[str, str]:
    """Give each class a colour; where classes are many, colours repeat: the name stands beside."""
    return {str(name): COLOUR[LINES[i % len(LINES)]] for i, name in enumerate(classes)}
