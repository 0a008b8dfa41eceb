"""Detectors in figures and report: under a heading of their own, and nowhere else."""

import detection_scores as detectors
import numpy as np
import pandas as pd
import pytest
import synthetic_study as made
from draw_once import draw_once
from robust_transfer.figures.detected_objects import chosen_scenes, object_data
from robust_transfer.figures.results import complete
from robust_transfer.report.page import write_report
from robust_transfer.statistics.detection import compared_rows, detection_table
from robust_transfer.statistics.main_rows import main_rows
from robust_transfer.statistics.welch import welch_table

CONFIG = made.CONFIG | {"detect": {"datasets": [{"name": "scenes", "kind": "toy_scenes"}]}}


def study_tables(folder, *, accuracy=None, **made_scores):
    """Tables of a study with detectors, and the paths of their examples."""
    scores, records, examples = detectors.write_scores(folder, **made_scores)
    detection = detection_table(scores, records)
    rows = main_rows(compared_rows(detection))
    both = rows if accuracy is None else pd.concat([accuracy, rows], ignore_index=True)
    welch = welch_table(both, confidence=0.95)
    tables = {} if accuracy is None else made.results(accuracy)
    return tables | {"detection": detection, "welch": welch}, examples


def page_of(folder, tables, examples, config=CONFIG):
    figures = folder / "figures"
    draw_once(figures, tables=tables, study_config=config, detected=examples)
    write_report(folder / "report.html", tables=tables, study_config=config,
                 figures_folder=figures, tables_folder=folder / "tables", commands={})  # fmt: skip
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("detectors")
    tables, examples = study_tables(folder, accuracy=made.accuracy_table())
    return {"folder": folder, "html": page_of(folder, tables, examples), "tables": tables}


def part(html, name):
    """The section of a page."""
    start = html.index(f'<section id="{name}">')
    end = html.find('\n<section id="', start + 1)
    return html[start:end]


def test_detectors_stand_under_their_own_heading(page):
    detection = part(page["html"], "detection")
    for name in ("figure-precision_by_epsilon", "figure-detected_objects", "table-detection",
                 "table-detection_welch"):  # fmt: skip
        assert f'id="{name}"' in detection
        assert page["html"].count(f'id="{name}"') == 1
    assert "mask_rcnn_small" not in part(page["html"], "figures") + part(page["html"], "tables")


def test_the_answer_on_classification_counts_no_detector(page, tmp_path):
    accuracy = made.accuracy_table()
    alone = page_of(tmp_path, made.results(accuracy) | {
        "welch": welch_table(accuracy, confidence=0.95)}, [])  # fmt: skip
    assert part(page["html"], "answer") == part(alone, "answer")
    assert '<section id="detection">' not in alone


def test_the_sentence_on_detectors_names_detector_metric_and_toy(page):
    said = part(page["html"], "detection")
    assert "scenes (toy) under mask_rcnn_small, AP of" in said
    assert 'href="#detection_welch-' in said


def test_a_network_that_was_never_pretrained_is_a_line_of_its_own(page):
    data = pd.read_csv(page["folder"] / "figures/precision_by_epsilon.csv")
    assert set(data["line"]) == {"resnet_small", "resnet_small, never pretrained"}
    assert set(data["mode"]) == {"mask_rcnn_small, boxes", "mask_rcnn_small, masks"}
    control = data[data["line"] == "resnet_small, never pretrained"]
    assert (control["epsilon"] == 0).all()


def test_one_detector_a_backbone_is_shown_standard_first_and_the_control_last(page):
    detection = page["tables"]["detection"]
    paths = sorted(page["folder"].glob("detect/*/*/*/seed0/examples.npz"))
    scenes, rows = chosen_scenes(paths, complete({"detection": detection})["detection"])
    assert scenes == "scenes"
    assert [name.split("\n")[1] for name in rows] == [
        "standard", "robust, L2 0.1", "never pretrained"]  # fmt: skip


def test_the_csv_of_the_pictures_has_every_box_once(tmp_path):
    _, _, examples = detectors.write_scores(tmp_path, bodies=detectors.BODIES[:1])
    data = object_data({"one": dict(np.load(examples[0])), "two": dict(np.load(examples[0]))})
    assert list(data["kind"]) == ["true", "found", "true", "found"]
    assert list(data[data["kind"] == "found"]["row"]) == [0, 1]
    assert data["score"].dropna().tolist() == [0.875, 0.875]


def test_detectors_alone_give_a_report(tmp_path):
    tables, examples = study_tables(tmp_path)
    html = page_of(tmp_path, tables, examples)
    assert "No comparison can be made" not in html
    assert "AP of boxes" in part(html, "detection")


def test_a_single_detector_is_shown_with_its_interval_over_images_and_untested(tmp_path):
    tables, examples = study_tables(tmp_path, bodies=detectors.BODIES[:1], seeds=(0,))
    html = page_of(tmp_path, tables, examples)
    assert "No comparison of detectors" in html
    data = pd.read_csv(tmp_path / "figures/precision_by_epsilon.csv")
    assert np.allclose(data["ci_high"] - data["ci_low"], 0.1)
