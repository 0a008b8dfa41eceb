"""Figures: their numbers, their bytes, and what they say when there is nothing to draw."""

import hashlib
import xml.etree.ElementTree as ElementTree

import numpy as np
import pandas as pd
import pytest
import synthetic_study as made
from draw_once import draw_once
from robust_transfer.figures.accuracy_by_epsilon import (
    accuracy_by_epsilon_data,
    draw_curves,
    resolution_data,
)
from robust_transfer.figures.catalogue import CATALOGUE, FIGURES, FORMATS
from robust_transfer.figures.cells import summarise
from robust_transfer.figures.differences import difference_data, draw_differences
from robust_transfer.figures.draw import draw_all
from robust_transfer.figures.granularity import draw_granularity, granularity_data
from robust_transfer.figures.label_budget import budget_data, draw_budget
from robust_transfer.figures.norms import draw_norms, norm_data
from robust_transfer.figures.r_squared import draw_r_squared, r_squared_data
from robust_transfer.figures.results import (
    ACCURACY,
    HEADLINE,
    PEARSON,
    RECOMMENDATION,
    WELCH,
)
from robust_transfer.figures.source_scatter import draw_scatter, scatter_data
from robust_transfer.figures.summary import draw_summary, summary_data
from robust_transfer.figures.width import draw_width, family_of, width_data

EMPTY = {"accuracy": pd.DataFrame(columns=list(ACCURACY), dtype=float),
         "welch": pd.DataFrame(columns=list(WELCH), dtype=float),
         "pearson": pd.DataFrame(columns=list(PEARSON), dtype=float)}  # fmt: skip


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Tables and drawn figures of a study of the demo's shape."""
    folder = tmp_path_factory.mktemp("study")
    accuracy = made.accuracy_table()
    tables = made.results(accuracy)
    histories, examples = made.write_backbone_files(folder / "pretrain")
    arguments = {"tables": tables, "study_config": made.CONFIG, "histories": histories,
                 "examples": examples}  # fmt: skip
    draw_once(folder / "figures", **arguments)
    return {"folder": folder / "figures", "arguments": arguments, **tables}


def figures_of(axes):
    """All text of a figure."""
    return " ".join(text.get_text() for text in axes.findobj(lambda a: hasattr(a, "get_text")))


# What is drawn


def test_every_figure_is_written_in_every_format(study):
    assert {path.name for path in study["folder"].iterdir()} == {
        f"{name}.{suffix}" for name in FIGURES for suffix in FORMATS
    }


@pytest.mark.parametrize("name", FIGURES)
def test_an_svg_is_well_formed_and_has_no_date(study, name):
    text = (study["folder"] / f"{name}.svg").read_text(encoding="utf-8")
    ElementTree.fromstring(text)
    assert "<dc:date>" not in text


def test_the_same_study_draws_the_same_bytes(study, tmp_path):
    draw_all(tmp_path, **study["arguments"])
    for path in study["folder"].iterdir():
        again = (tmp_path / path.name).read_bytes()
        assert hashlib.sha256(again).digest() == hashlib.sha256(path.read_bytes()).digest(), path


def test_the_csv_of_the_bars_equals_welch(study):
    keys = ["mode", "dataset", "resolution", "architecture", "norm", "epsilon"]
    shown = pd.read_csv(study["folder"] / "robust_against_standard.csv", dtype={"resolution": str})
    shown = shown.rename(columns={"line": "architecture"})
    both = shown.merge(study["welch"], on=keys, suffixes=("", "_welch"))
    assert len(both) == len(shown) == len(study["welch"])
    for column in ("difference", "ci_low", "ci_high"):
        np.testing.assert_allclose(both[column], both[f"{column}_welch"], rtol=0, atol=1e-15)


def test_the_bars_are_as_long_as_the_csv_says(study):
    data = difference_data(study["welch"], 0.05)
    figure = draw_differences(data, nothing="")
    drawn = sorted(bar.get_width() for axes in figure.axes for bar in axes.patches)
    np.testing.assert_allclose(drawn, sorted(100 * data["difference"]), atol=1e-9)


def test_the_curves_pass_through_the_means_of_the_csv(study):
    data = accuracy_by_epsilon_data(summarise(study["accuracy"], 0.95))
    figure = draw_curves(data, nothing="")
    drawn = [y for axes in figure.axes for line in axes.lines if line.get_marker() == "o"
             for y in line.get_ydata()]  # fmt: skip
    np.testing.assert_allclose(sorted(drawn), sorted(100 * data["mean"]), atol=1e-9)


def test_the_scatter_has_one_mark_a_backbone_and_cell(study):
    data = scatter_data(study["accuracy"], 0.95)
    figure = draw_scatter(data, study["pearson"], nothing="")
    marks = [point for axes in figure.axes for line in axes.lines
             for point in zip(*line.get_data(), strict=True)]  # fmt: skip
    assert len(marks) == len(data) == len(made.BACKBONES) * len(made.DATASETS) * 2


def test_the_scatter_writes_the_pooled_r_of_pearson(study):
    figure = draw_scatter(scatter_data(study["accuracy"], 0.95), study["pearson"], nothing="")
    pooled = study["pearson"][study["pearson"]["epsilon"].isna()]
    r = pooled[(pooled["dataset"] == "uci_digits") & (pooled["mode"] == "fixed")]["r"].iloc[0]
    assert f"r = {r:.2f} (n = 6)".replace("-", "\N{MINUS SIGN}") in figures_of(figure)


def test_toys_are_called_toys_and_real_data_are_not(study):
    data = accuracy_by_epsilon_data(summarise(study["accuracy"], 0.95))
    text = figures_of(draw_curves(data, toy={"greek"}, nothing=""))
    assert "greek (toy)" in text
    assert "uci_digits (toy)" not in text


def test_only_datasets_at_two_sizes_stand_in_the_comparison_of_sizes(study):
    data = resolution_data(summarise(study["accuracy"], 0.95))
    assert set(data["dataset"]) == {"greek", "accents"}
    assert {line.rsplit(", ")[1] for line in data["line"]} == {"native", "32x32"}


# Degraded studies


def draw_small(folder, accuracy, **more):
    welch = made.welch_table(accuracy) if accuracy["epsilon"].nunique() > 1 else EMPTY["welch"]
    tables = made.results(accuracy, welch=welch)
    draw_once(folder, study_config=made.CONFIG, tables=tables, **more)
    return {name: (folder / f"{name}.svg").read_text(encoding="utf-8") for name in FIGURES}


def test_empty_tables_give_figures_that_say_what_is_missing(tmp_path):
    draw_once(tmp_path, study_config=made.CONFIG, tables=EMPTY)
    for name, entry in CATALOGUE.items():
        text = (tmp_path / f"{name}.svg").read_text(encoding="utf-8")
        assert entry.nothing.split(":")[0].split(" (")[0][:30] in text
        assert pd.read_csv(tmp_path / f"{name}.csv").empty


def test_one_epsilon_draws_curves_and_names_the_missing_comparison(tmp_path):
    drawn = draw_small(tmp_path, made.accuracy_table(backbones=[(0.0, 0), (0.0, 1)]))
    assert "No comparison to show" in drawn["robust_against_standard"]
    assert "uci_digits" in drawn["accuracy_by_epsilon"]


def test_one_seed_draws_differences_that_were_not_tested(tmp_path):
    accuracy = made.accuracy_table(backbones=[(0.0, 0), (0.25, 0)], seeds=[0])
    drawn = draw_small(tmp_path, accuracy)
    assert "not tested" in drawn["robust_against_standard"]


def test_one_dataset_draws_one_panel_a_mode(tmp_path):
    drawn = draw_small(tmp_path, made.accuracy_table({"greek": ["native"]}))
    assert "greek" in drawn["accuracy_by_epsilon"]


def test_forty_datasets_fit():
    datasets = {f"dataset{i:02d}": ["native"] for i in range(40)}
    accuracy = made.accuracy_table(datasets, [(0.0, 0), (0.0, 1), (0.25, 0), (0.25, 1)])
    curves = draw_curves(accuracy_by_epsilon_data(summarise(accuracy, 0.95)), nothing="")
    bars = draw_differences(difference_data(made.welch_table(accuracy), 0.05), nothing="")
    for figure in (curves, bars):
        assert all(name in figures_of(figure) for name in datasets)
        assert max(figure.get_size_inches()) < 40


def test_a_missing_cell_is_named():
    accuracy = made.accuracy_table()
    gone = (accuracy["dataset"] == "greek") & (accuracy["epsilon"] == 1)
    gone |= (accuracy["dataset"] == "digits") & (accuracy["mode"] == "full")
    data = accuracy_by_epsilon_data(summarise(accuracy[~gone], 0.95))
    text = figures_of(draw_curves(data, nothing=""))
    assert "greek, fixed features, resnet_small, epsilon 1" in text
    assert "digits, full network" in text
    assert "no result" in text


def test_a_missing_comparison_leaves_a_note_in_its_row():
    welch = made.welch_table(made.accuracy_table())
    gone = (welch["dataset"] == "greek") & (welch["mode"] == "full") & (welch["epsilon"] == 1)
    figure = draw_differences(difference_data(welch[~gone], 0.05), nothing="")
    assert "no result" in figures_of(figure)


# Further figures


def published(**changes):
    """Cells as published ones are: single numbers of several networks and norms."""
    rows = [
        {"architecture": name, "source": "imagenet", "norm": norm, "epsilon": epsilon,
         "dataset": dataset, "resolution": "native", "mode": mode, "metric": "top1",
         "origin": "A paper 2020", "accuracy": 0.5 + 0.01 * k + 0.02 * width - 0.01 * epsilon,
         "source_accuracy": 0.7 - 0.05 * epsilon + 0.01 * width}
        for width, name in enumerate(["resnet50", "wide_resnet50_2", "wide_resnet50_4"])
        for norm, epsilons in (("l2", [0, 1, 3]), ("linf", [4 / 255]))
        for epsilon in epsilons
        for k, dataset in enumerate(["cars", "pets"])
        for mode in ("fixed", "full")
    ]  # fmt: skip
    return pd.DataFrame(rows).assign(**changes)


def test_families_differ_by_width_alone():
    assert family_of("wide_resnet50_4") == ("resnet50", 4)
    assert family_of("resnet50") == ("resnet50", 1)
    assert family_of("resnet_small_w8") == ("resnet_small", 8)
    assert family_of("resnet_small")[0] == "resnet_small"
    assert family_of("densenet161") == ("densenet161", 1)


def test_the_figure_of_widths_has_a_curve_an_epsilon():
    data = width_data(summarise(published(), 0.95))
    assert set(data["width"]) == {1, 2, 4}
    assert set(data["norm"]) == {"l2"}
    figure = draw_width(data, nothing="")
    curves = [line for line in figure.axes[0].lines if len(line.get_xdata())]
    assert len(curves) == 3
    assert width_data(summarise(made.accuracy_table(), 0.95)).empty


def test_each_norm_shows_its_best_epsilon():
    data = norm_data(summarise(published(), 0.95))
    best = data[data["side"] == "l2"]
    assert set(best["epsilon"]) == {1}
    assert set(data["selected_on"]) == {"test"}
    assert "4/255" in figures_of(draw_norms(data, nothing=""))


def test_r_squared_keeps_published_tables_apart():
    pearson = pd.concat(
        made.pearson_table(made.accuracy_table()).assign(origin=origin)
        for origin in ("run", "A, 2020, one table; x", "A, 2020, another; y")
    )
    pearson.loc[pearson["epsilon"] == 0, ["r_squared", "n"]] = 0.9, 3
    data = r_squared_data(pearson)
    assert not data.duplicated(["origin", "mode", "dataset", "resolution", "epsilon"]).any()
    assert data["origin"].nunique() == 3
    text = figures_of(draw_r_squared(data, nothing=""))
    assert "Fixed features, another" in text
    assert "n at one epsilon: 3" in text


def test_the_scatter_writes_the_r_of_the_origin_of_its_points():
    accuracy = made.accuracy_table()
    mine = made.pearson_table(accuracy).assign(origin="run")
    other = mine.assign(origin="elsewhere", r=-0.99, n=99)
    figure = draw_scatter(scatter_data(accuracy, 0.95), pd.concat([other, mine]), nothing="")
    assert "0.99" not in figures_of(figure)


def test_hundreds_of_comparisons_become_a_table_of_cells():
    datasets = {f"dataset{i:02d}": ["native"] for i in range(40)}
    backbones = [(epsilon, seed) for epsilon in (0.0, 0.25, 0.5) for seed in (0, 1)]
    welch = made.welch_table(made.accuracy_table(datasets, backbones))
    data = difference_data(welch, 0.05)
    assert len(data) == 160
    figure = draw_differences(data, nothing="")
    cells = [patch for axes in figure.axes for patch in axes.patches if patch.get_fill()]
    assert len(cells) == len(data)
    below = sum(len(axes.lines) for axes in figure.axes) - len(figure.axes)
    assert below == (data["difference"] < 0).sum()
    assert all(name in figures_of(figure) for name in datasets)


def test_label_budgets_are_drawn_only_where_the_table_has_them():
    table = made.accuracy_table({"greek": ["native"]})
    assert budget_data(table, 0.95).empty
    table = table.assign(label_budget="all", labelled_images=1200, classes=24)
    few = table.assign(label_budget="5", labelled_images=115, accuracy=table["accuracy"] - 0.2)
    both = pd.concat([table, few[few["mode"] == "fixed"]])
    control = table.assign(source="none", accuracy=0.1)
    data = budget_data(pd.concat([both, control, control.assign(label_budget="5")]), 0.95)
    assert set(data["label_budget"]) == {"5", "all"}
    assert sorted(set(data["labelled_a_class"].round(9))) == [round(115 / 24, 9), 50]
    assert set(data["mode"]) == {"fixed"}  # of the other mode there is one budget
    assert data["mean"].min() > 0.3
    assert len(draw_budget(data, nothing="").axes) == 1


def test_the_summary_averages_only_over_those_that_have_every_epsilon():
    cells = summarise(published(), 0.95)
    # A weak network at one epsilon alone must not lower that epsilon's mean.
    weak = cells[(cells["architecture"] == "resnet50") & (cells["epsilon"] == 3)]
    cells = cells.drop(weak.index)
    data = summary_data(cells, *(pd.DataFrame(columns=list(columns), dtype=float) for columns in
                                 (HEADLINE, PEARSON, RECOMMENDATION)))  # fmt: skip
    assert set(data["n"]) == {4}
    assert "too few networks" in figures_of(draw_summary(data, nothing=""))


def test_granularity_shows_the_error_for_a_dataset_left_out(study):
    tables = study["arguments"]["tables"]
    data = granularity_data(tables["granularity_points"], tables["granularity_prediction"])
    assert set(data["resolution"]) == {"native"}
    assert set(data.groupby("measure").size()) == {2 * len(made.DATASETS)}
    error = data["error"].iloc[0]
    assert f"{error:.2f}" in figures_of(draw_granularity(data, nothing=""))


def test_granularity_numbers_every_dataset_within_its_panel_and_says_whose_number_it_is(study):
    tables = study["arguments"]["tables"]
    data = granularity_data(tables["granularity_points"], tables["granularity_prediction"])
    toy = [min(made.DATASETS)]
    figure = draw_granularity(data, toy=toy, nothing="")
    figure.draw_without_rendering()
    small_print = " ".join(text.get_text() for text in figure.texts).replace("\n", " ")
    for number, name in enumerate(sorted(made.DATASETS), start=1):
        assert f"{number} {name}{' (toy)' * (name in toy)}" in small_print
    for panel in figure.axes:
        numbers = [text for text in panel.texts if text.get_text().isdigit()]
        assert sorted(int(text.get_text()) for text in numbers) == [
            *range(1, len(made.DATASETS) + 1)
        ]
        top = panel.get_window_extent().y1
        assert all(text.get_window_extent().y1 <= top for text in numbers)
