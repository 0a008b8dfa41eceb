"""A few images, clean and attacked, and the perturbation between them."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from robust_transfer.figures.identities import Identity, norm_epsilon, one_seed_each
from robust_transfer.figures.results import rows_of
from robust_transfer.figures.style import COLOUR, in_style, missing, note, panels

MOST_IMAGES, MOST_BACKBONES = 8, 8
SHOWN = [
    "backbone",
    "shown_as",
    "image",
    "norm",
    "attack_epsilon",
    "label",
    "predicted_clean",
    "predicted_attacked",
    "l2_norm",
    "largest_change",
    "gain",
]


def example_data(
    examples: Mapping[str, Mapping[str, np.ndarray]], known: dict[str, Identity]
) -> pd.DataFrame:
    """Tabulate what was done to each image and what the backbone then said.

    Args:
        examples: backbone -> arrays of its examples.npz: `clean`, `attacked` (n, H, W, 3) uint8,
            `perturbation` float in [-1, 1], `labels`, `predicted_clean`, `predicted_attacked`,
            `classes`, `norm`, `epsilon` (of the attack).
        known: as `identities` returns it: of backbones that differ by seed alone one is shown.

    Returns:
        One row an image; `gain` is what the drawn perturbation is multiplied by.
    """
    rows = []
    for name in one_seed_each(examples, known)[:MOST_BACKBONES]:
        arrays = examples[name]
        label = known[name].label if name in known else name
        classes, change = arrays["classes"], arrays["perturbation"]
        rows += [
            {
                "backbone": name,
                "shown_as": label,
                "image": i,
                "norm": str(arrays["norm"]),
                "attack_epsilon": float(arrays["epsilon"]),
                **{
                    column: str(classes[arrays[key][i]])
                    for column, key in (
                        ("label", "labels"),
                        ("predicted_clean", "predicted_clean"),
                        ("predicted_attacked", "predicted_attacked"),
                    )
                },
                "l2_norm": float(np.sqrt((change[i].astype(float) ** 2).sum())),
                "largest_change": float(np.abs(change[i]).max()),
                "gain": perturbation_gain(change),
            }
            for i in range(min(len(change), MOST_IMAGES))
        ]
    return pd.DataFrame(rows, columns=SHOWN)


def perturbation_gain(perturbation: np.ndarray) -> float:
    """Return a whole factor that makes a perturbation fill the grey scale.

    Args:
        perturbation: (n, H, W, 3) in [-1, 1].
    """
    size = float(np.quantile(np.abs(perturbation), 0.995)) if perturbation.size else 0.0
    return float(max(1, round(0.5 / size))) if size > 0 else 1.0


@in_style
def draw_examples(
    data: pd.DataFrame, examples: Mapping[str, Mapping[str, np.ndarray]], *, toy: bool, nothing: str
) -> Figure:
    """Draw two rows a backbone (attacked, perturbation) below one row of clean images.

    Args:
        data: as `example_data` returns it; it may be empty.
        examples: the same examples.
        toy: whether the source is a toy.
        nothing: what to say when there are no data.
    """
    if data.empty:
        return missing(nothing)
    names = list(dict.fromkeys(data["backbone"]))
    columns = int(data["image"].max()) + 1
    figure, axes = panels(
        1 + 2 * len(names),
        columns,
        panel=(0.78, 0.78),
        left=1.55,
        top=0.42,
        bottom=0.36,
        gap=(0.07, 0.24),
    )
    for panel in axes.flat:
        panel.set(xticks=[], yticks=[])
        panel.spines[:].set_visible(False)
    _row(axes[0], examples[names[0]]["clean"], "clean" + " (toy images)" * toy)
    for panel, label in zip(axes[0], data.loc[data["backbone"] == names[0], "label"], strict=False):
        panel.set_title(label, fontsize=8, loc="center")
    for index, name in enumerate(names):
        rows, arrays = data[data["backbone"] == name], examples[name]
        gain = rows["gain"].iloc[0]
        _row(axes[1 + 2 * index], arrays["attacked"], f"{rows['shown_as'].iloc[0]}\nattacked")
        shown = (0.5 + gain * arrays["perturbation"]).clip(0, 1)
        _row(
            axes[2 + 2 * index],
            (255 * shown).round().astype(np.uint8),
            f"perturbation x {gain:.0f}",
        )
        for panel, row in zip(axes[1 + 2 * index], rows_of(rows), strict=False):
            fooled = row.predicted_attacked != row.label
            panel.set_title(
                ("\u2717 " if fooled else "\u2713 ") + row.predicted_attacked,
                fontsize=7.5,
                loc="center",
                pad=2.5,
                color=COLOUR["standard" if fooled else "robust"],
            )
    first = data.iloc[0]
    note(
        figure,
        f"Attack: {norm_epsilon(first['attack_epsilon'], first['norm'])}. Above each "
        "attacked image: what the backbone says (\u2717 wrong, \u2713 right).",
    )
    return figure


def _row(axes: np.ndarray, images: np.ndarray, name: str) -> None:
    """Show a row of images, pixel for pixel, with its name on the left."""
    for panel, image in zip(axes, images, strict=False):
        panel.imshow(image, interpolation="none")
    axes[0].set_ylabel(name, rotation=0, ha="right", va="center", fontsize=7.5, labelpad=6)
