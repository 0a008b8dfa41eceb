"""The one call that draws every figure of the catalogue."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from robust_transfer.figures.accuracy_by_epsilon import (
    accuracy_by_epsilon_data,
    draw_curves,
    resolution_data,
)
from robust_transfer.figures.attacked_images import draw_examples, example_data
from robust_transfer.figures.catalogue import CATALOGUE, FIGURES, confidence_of, toy_datasets
from robust_transfer.figures.cells import summarise
from robust_transfer.figures.cost import cost_data, draw_cost
from robust_transfer.figures.detected_objects import chosen_scenes, draw_objects, object_data
from robust_transfer.figures.detection import detection_cells, draw_precision, precision_data
from robust_transfer.figures.differences import difference_data, draw_differences
from robust_transfer.figures.granularity import draw_granularity, granularity_data
from robust_transfer.figures.identities import identities
from robust_transfer.figures.label_budget import budget_data, draw_budget
from robust_transfer.figures.norms import draw_norms, norm_data
from robust_transfer.figures.r_squared import draw_r_squared, r_squared_data
from robust_transfer.figures.results import complete
from robust_transfer.figures.source_scatter import draw_scatter, scatter_data
from robust_transfer.figures.style import save_figure
from robust_transfer.figures.summary import draw_summary, summary_data
from robust_transfer.figures.training_history import draw_history, history_data
from robust_transfer.figures.width import draw_width, width_data
from robust_transfer.statistics.main_rows import main_rows


def by_backbone(paths: Iterable[str | Path]) -> dict[str, Path]:
    """Name files by the folder that they lie in: the backbone.

    Args:
        paths: such as `.../pretrain/<backbone>/history.csv`.

    Returns:
        Backbone -> path, in the order of the names.
    """
    return dict(sorted((Path(path).parent.name, Path(path)) for path in paths))


def draw_all(
    folder: str | Path,
    *,
    study_config: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    histories: Iterable[str | Path] = (),
    examples: Iterable[str | Path] = (),
    detected: Iterable[str | Path] = (),
) -> None:
    """Draw every figure of the catalogue; one without data says what is missing.

    Args:
        folder: gets `<name>.svg`, `<name>.png` and `<name>.csv` for each of `FIGURES`.
        study_config: the study's config.
        tables: results by name, as `read_all` gives them; absent ones count as empty.
        histories: paths of history.csv, one a backbone.
        examples: paths of examples.npz, one a backbone.
        detected: paths of examples.npz of detectors.
    """
    table = complete(tables)
    toy, detection = toy_datasets(study_config), table["detection"]
    known = identities(detection) | identities(table["accuracy"])
    arrays = {name: dict(np.load(path)) for name, path in by_backbone(examples).items()}
    scenes, rows = chosen_scenes(detected, detection)
    pretrained = {
        "detected_objects": object_data(rows),
        "pretraining_history": history_data(
            {name: pd.read_csv(path) for name, path in by_backbone(histories).items()}, known
        ),
        "attacked_images": example_data(arrays, known),
    }
    data = results_data(tables, confidence_of(study_config)) | pretrained
    source = str(study_config.get("pretrain", {}).get("source"))
    more: dict[str, dict[str, Any]] = {name: {"toy": toy} for name in FIGURES}
    more["pretraining_history"] = {}
    more["source_against_transfer"] |= {"pearson": complete(tables)["pearson"]}
    more["attacked_images"] = {"toy": source in toy, "examples": arrays}
    more["detected_objects"] = {"toy": scenes in toy, "examples": rows}
    for name in FIGURES:
        figure = DRAW[name](data[name], nothing=CATALOGUE[name].nothing, **more[name])
        save_figure(figure, folder, name, data[name])


def results_data(tables: Mapping[str, pd.DataFrame], confidence: float) -> dict[str, pd.DataFrame]:
    """Choose what the figures of results show.

    Args:
        tables: results by name; absent ones count as empty.
        confidence: of the intervals.

    Returns:
        Name of the figure -> its data.
    """
    table = complete(tables)
    accuracy = main_rows(table["accuracy"])
    cells, correlations = summarise(accuracy, confidence), r_squared_data(table["pearson"])
    return {
        "summary": summary_data(cells, table["headline"], correlations, table["recommendation"]),
        "robust_against_standard": difference_data(table["welch"], 1 - confidence),
        "accuracy_by_epsilon": accuracy_by_epsilon_data(cells),
        "native_against_32": resolution_data(cells),
        "source_against_transfer": scatter_data(accuracy, confidence),
        "pooled_against_fixed_epsilon": correlations,
        "width": width_data(cells),
        "l2_against_linf": norm_data(cells),
        "label_budget": budget_data(table["accuracy"], confidence),
        "granularity": granularity_data(
            table["granularity_points"], table["granularity_prediction"]
        ),
        "cost_against_accuracy": cost_data(cells),
        "precision_by_epsilon": precision_data(detection_cells(table["detection"], confidence)),
    }


DRAW: dict[str, Any] = {
    "summary": draw_summary,
    "robust_against_standard": draw_differences,
    "accuracy_by_epsilon": draw_curves,
    "native_against_32": draw_curves,
    "source_against_transfer": draw_scatter,
    "pooled_against_fixed_epsilon": draw_r_squared,
    "width": draw_width,
    "l2_against_linf": draw_norms,
    "label_budget": draw_budget,
    "granularity": draw_granularity,
    "cost_against_accuracy": draw_cost,
    "pretraining_history": draw_history,
    "attacked_images": draw_examples,
    "precision_by_epsilon": draw_precision,
    "detected_objects": draw_objects,
}
