"""The page: one HTML file that answers first, then shows, and says how to make it again."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from robust_transfer.figures.catalogue import CATALOGUE, confidence_of, toy_datasets
from robust_transfer.figures.cells import summarise
from robust_transfer.figures.detection import detection_cells
from robust_transfer.figures.r_squared import r_squared_data
from robust_transfer.figures.results import complete
from robust_transfer.figures.style import THEME
from robust_transfer.figures.verdicts import KINDS, with_verdicts
from robust_transfer.files import write_text
from robust_transfer.report.advice import (
    advice,
    best_by_dataset,
    best_sentence,
    correlation_sentence,
    main_headline,
)
from robust_transfer.report.answer import answer
from robust_transfer.report.comparison import comparisons
from robust_transfer.report.contents import OF_DETECTION, TABLES
from robust_transfer.report.inline import csv_link
from robust_transfer.report.matrix import Matrix, matrix
from robust_transfer.report.methods import facts, methods
from robust_transfer.report.models import Model
from robust_transfer.report.sections import figures_of, tables_of, toys_of
from robust_transfer.report.tables import write_table
from robust_transfer.statistics.main_rows import is_main, main_rows
from robust_transfer.statistics.notes import noted

#: Rows of a table on the page; the CSV has all.
MOST_ROWS = 400
#: Rows of the matrix of comparisons: beyond this the best of either kind stand in its place.
MOST_PLACES = 60


def write_report(
    out_html: str | Path,
    *,
    study_config: Mapping[str, Any],
    tables: Mapping[str, pd.DataFrame],
    figures_folder: str | Path,
    tables_folder: str | Path,
    commands: Mapping[str, str],
    models: Sequence[Model] = (),
) -> None:
    """Write the report of a study, and its tables as CSV and LaTeX.

    Args:
        out_html: the page; it needs no other file.
        study_config: the study's config, builtins only.
        tables: results by name, as `read_all` gives them; absent ones count as empty.
        figures_folder: where `draw_all` wrote.
        tables_folder: gets `<name>.csv` and `<name>.tex` for each of `TABLES`.
        commands: what to type to make a thing again: by name of a figure or table, or for all
            `figures`, and for the `report`.
        models: those that the study exports; the page shows each.
    """
    confidence, toy = confidence_of(study_config), toy_datasets(study_config)
    results = complete(tables)
    data = shown_data(results, confidence)
    spelled = tables_of(data, toy, confidence)
    for table in spelled:
        write_table(tables_folder, table, data[table.name])
    folder = Path(tables_folder)
    page = {
        "tables": spelled,
        "most_rows": MOST_ROWS,
        "links": {t.name: csv_link(folder / f"{t.name}.csv") for t in spelled},
        "figures": figures_of(Path(figures_folder)),
        "toy": toys_of(study_config, results["accuracy"], results["detection"]),
        "facts": facts(main_rows(results["accuracy"])),
        "methods": methods(results["accuracy"], data, confidence),
        "commands": commands,
        "models": models,
        "beside": comparisons(
            results["recommendation"], [one.about for one in models], confidence=confidence
        ),
        **_opening(data, results, confidence, toy),
    }
    write_text(out_html, _render(page, study_config))


def shown_data(results: Mapping[str, pd.DataFrame], confidence: float) -> dict[str, pd.DataFrame]:
    """Return the rows of each table of the page.

    Args:
        results: every table of results, as `complete` gives them.
        confidence: of the intervals.
    """
    equivalence, chosen = results["equivalence"], results["welch_selected"]
    tested = (equivalence["verdict"] != "untested").any()
    chosen = chosen if chosen["difference"].notna().any() else chosen.iloc[:0]
    accuracy = results["accuracy"]
    apart = ("label_budget", "trainable_blocks", "selected_on")
    return {name: results[name] for name in TABLES if name in results} | {
        "welch_selected": with_verdicts(chosen, 1 - confidence),
        "welch": with_verdicts(results["welch"], 1 - confidence),
        "equivalence": equivalence if tested else equivalence.iloc[:0],
        "detection": detection_cells(results["detection"], confidence),
        "detection_welch": with_verdicts(results["detection_welch"], 1 - confidence),
        "accuracy": summarise(main_rows(accuracy), confidence, also=("selected_on",)),
        "variants": summarise(accuracy[~is_main(accuracy)], confidence, also=apart),
        "notes": noted(accuracy),
    }


def _opening(
    data: Mapping[str, pd.DataFrame], results: Mapping[str, pd.DataFrame], confidence: float,
    toy: frozenset[str],
) -> dict[str, Any]:  # fmt: skip
    """Return the answer: what to take, what the tests say, and the best of either kind."""
    said = answer(data["welch"], data["welch_selected"], confidence=confidence, toy=toy)
    best = main_headline(data["headline"])
    tested = any(n for kind, n in said.counts.items() if kind != "untested")
    places = matrix(said, confidence, toy)
    few = len(places.rows) <= MOST_PLACES
    places = places if few and (tested or best.empty) else Matrix((), ())
    modes, rows = best_by_dataset(best, toy) if not places.rows else ((), [])
    taken = advice(data["recommendation"], confidence=confidence, toy=toy)
    wanted = {f"{said.table}-{cell.row}" for row in places.rows for cell in row[2] if cell}
    wanted |= {f"recommendation-{one.row}" for one in taken}
    wanted |= {f"headline-{cell[-1]}" for row in rows for cell in row.cells if cell}
    return {
        "answer": said,
        "lead": best_sentence(best) if not tested else "",
        "correlation": correlation_sentence(r_squared_data(results["pearson"])),
        "advice": taken,
        "best_modes": modes,
        "best": rows,
        "matrix": places,
        **_detection(data, confidence, toy),
        "wanted": wanted | set(said.links.values()),
    }


def _detection(
    data: Mapping[str, pd.DataFrame], confidence: float, toy: frozenset[str]
) -> dict[str, Any]:
    """Return what opens the part on detectors, and which tables are in it."""
    tests = data["detection_welch"]
    said = answer(tests, tests.iloc[:0], confidence=confidence, toy=toy, table="detection_welch")
    return {"detectors": said, "of_detection": OF_DETECTION if len(data["detection"]) else ()}


def _render(page: Mapping[str, Any], study_config: Mapping[str, Any]) -> str:
    """Fill the template; an unknown name in it is an error."""
    environment = Environment(
        loader=PackageLoader("robust_transfer", "report"), trim_blocks=True, lstrip_blocks=True,
        autoescape=select_autoescape(["j2"]), undefined=StrictUndefined,
    )  # fmt: skip
    title = "Do robust backbones transfer better?"
    return environment.get_template("report.html.j2").render(
        title=study_config.get("report", {}).get("title", title),
        study=study_config.get("study", ""),
        confidence=confidence_of(study_config),
        config=yaml.safe_dump(dict(study_config), sort_keys=False, allow_unicode=True,
                              default_flow_style=None, width=100),
        entries=CATALOGUE, theme=THEME, words_of=KINDS, **page,
    )  # fmt: skip
