"""Detectors through the workflow: fresh, nothing to do, and exactly what is stale."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from robust_transfer.detection.detections import load_detections
from workflow import TINY_DETECTION, plan, snakemake

pytestmark = pytest.mark.workflow

LIBRARY = "workflow_scripts/robust_transfer"
DETECTORS = "results/tiny_detection/detect"
FIGURES = {"draw_figures": 1, "write_report": 1}
TABLES = FIGURES | {"tabulate_detection": 1, "test_robust_against_standard": 1}
SCORE = TABLES | {"score_detections": 8}
TRAIN = SCORE | {"train_detector": 8}
SCENES = TRAIN | {"build_scene_cache": 1}


@pytest.fixture
def study(finished_detection, tmp_path):
    return Path(shutil.copytree(finished_detection, tmp_path / "study", symlinks=True))


def append(folder, path, text):
    with (folder / path).open("a", encoding="utf-8") as stream:
        stream.write(text)


def change(old, new):
    def edit(folder):
        path = folder / "tests/tiny_detection.yaml"
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new), encoding="utf-8")

    return edit


def touch_all(folder):
    for path in (folder / "workflow_scripts").rglob("*.py"):
        path.touch()
    for path in (folder / DETECTORS).rglob("*"):
        path.touch()


def code(path, text="X = 1\n"):
    return lambda folder: append(folder, f"{LIBRARY}/{path}", text)


# An edit, and the rules that it reruns, with the number of their jobs.
EDITS = {
    "nothing": (lambda folder: None, {}),
    "a touch of everything": (touch_all, {}),
    "a comment in the training": (code("detection/training.py", "# only\n"), {}),
    "the training of detectors": (code("detection/training.py"), TRAIN),
    "the scores": (code("detection/voc_precision.py"), SCORE),
    "the toy scenes": (code("scenes/toy.py"), SCENES),
    "the table": (code("statistics/detection.py"), TABLES),
    "the figure": (code("figures/detected_objects.py"), FIGURES | {"draw_figures": 1}),
    "the recipe": (change("steps: 3", "steps: 4"), TRAIN),
    "the resamples": (change("resamples: 50", "resamples: 60"), SCORE),
    "the scenes' size": (change("n_test: 8", "n_test: 9"), SCENES),
    "a seed less": (change("seeds: [0, 1]\n  train", "seeds: [0]\n  train"), TABLES),
}


@pytest.mark.parametrize("name", EDITS)
def test_exactly_what_is_stale_reruns(study, name):
    edit, expected = EDITS[name]
    edit(study)
    assert plan(study, study=TINY_DETECTION) == expected


def test_a_study_of_detectors_ends_with_its_tables_and_its_part_of_the_report(finished_detection):
    results = finished_detection / "results/tiny_detection"
    table = pd.read_csv(results / "analysis/detection.csv")
    assert set(table["mode"]) == {"faster_rcnn_small"}
    assert len(table.groupby(["backbone", "transfer_seed"])) == 8
    welch = pd.read_csv(results / "analysis/welch.csv")
    assert set(welch["protocol"]) == {"detection"}
    assert (welch["n_robust"] == 2).all()
    page = (results / "report/report.html").read_text(encoding="utf-8")
    assert '<section id="detection">' in page
    assert "faster_rcnn_small" in page


def test_the_same_target_made_again_has_the_same_bytes(study):
    cell = next((study / DETECTORS).glob("*/*/*/seed0"))
    before = {path.name: path.read_bytes() for path in cell.glob("*.npz")}
    shutil.rmtree(cell)
    target = str(cell.relative_to(study) / "scores.json")
    done = snakemake(study, target, study=TINY_DETECTION)
    assert done.code == 0, done.said
    assert done.rules_run == {"train_detector": 1, "score_detections": 1}
    assert {path.name: path.read_bytes() for path in cell.glob("*.npz")} == before


def test_another_seed_finds_other_objects(finished_detection):
    cell = next((finished_detection / DETECTORS).glob("*/*/*"))
    one, other = (load_detections(cell / f"seed{seed}/detections.npz") for seed in (0, 1))
    assert not np.array_equal(one.scores, other.scores)


def test_the_record_says_what_the_detector_stands_on(finished_detection):
    path = next((finished_detection / DETECTORS).glob("*eps0.25-seed1/*/*/seed1/detector.json"))
    said = json.loads(path.read_text(encoding="utf-8"))
    assert (said["epsilon"], said["pretrain_seed"], said["transfer_seed"]) == (0.25, 1, 1)
    assert said["images_through_network"] == 3 * 2 + 8


def test_a_wrong_annotation_stops_before_training_and_keeps_what_was_made(study):
    folder = study / "data/cells"
    for part in ("JPEGImages", "Annotations"):
        (folder / part).mkdir(parents=True)
    (folder / "JPEGImages/a.jpg").write_bytes(b"no image")
    scenes = "{name: cells, kind: voc_folder, path: cells, test_fraction: 0.5, split_seed: 0}"
    text = (study / "tests/tiny_detection.yaml").read_text(encoding="utf-8")
    start, end = text.index("    - {name: scenes"), text.index("  detectors:")
    changed = f"{text[:start]}    - {scenes}\n{text[end:]}"
    (study / "tests/tiny_detection.yaml").write_text(changed, encoding="utf-8")
    done = snakemake(study, study=TINY_DETECTION)
    assert done.code != 0
    assert "a.jpg" in done.said
    assert (study / "results/tiny_detection/report/report.html").is_file()
