"""Why something is stale, in words."""

import json
import os

import pytest
from robust_transfer.records.why import Evidence, PlannedJob, differences, explain_plan
from workflow import TINY, snakemake

RECORD = {
    "params": {"settings": {"recipe": {"steps": 4, "rate": 0.1}}, "code": "old"},
    "modules": {"a.b": "1", "a.c": "2", "a.gone": "3"},
    "inputs": [{"path": "in.csv", "sha256": "1"}],
    "seconds": 90.0,
}


@pytest.fixture(autouse=True)
def made(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("out.csv", "in.csv"):
        (tmp_path / name).write_text("")
    (tmp_path / "out.csv.prov.json").write_text(json.dumps(RECORD))


def told(evidence=None, **changed):
    job = {
        "rule": "make", "outputs": ("out.csv",), "inputs": ("in.csv",),
        "params": RECORD["params"], "modules": RECORD["modules"],
    } | changed  # fmt: skip
    return explain_plan([PlannedJob(**job)], evidence or Evidence(digest=lambda path: "1"))


def test_a_changed_module_is_named():
    modules = {"a.b": "1", "a.c": "9", "a.new": "4"}
    said = told(params=RECORD["params"] | {"code": "new"}, modules=modules)
    assert "because module a.c changed" in said
    assert "because module a.new is new" in said
    assert "because module a.gone is no longer used" in said
    assert "a.b" not in said


def test_a_changed_setting_is_named_by_its_key_in_the_config_with_both_values():
    settings = {"settings": {"recipe": {"steps": 5, "rate": 0.1}}, "code": "old"}
    config = {"transfer": {"full": {"steps": 5}, "fixed": {"steps": 6}}}
    assert "settings.recipe.steps: 4 -> 5" in told(params=settings)
    said = told(Evidence(digest=lambda path: "1", config=config), params=settings)
    assert "because transfer.full.steps: 4 -> 5" in said


def test_a_changed_input_is_named():
    assert "input in.csv has another content" in told(Evidence(digest=lambda path: "2"))
    assert "1 input more: new.csv" in told(inputs=("in.csv", "new.csv"))
    assert "1 input fewer: in.csv" in told(inputs=())


def test_what_was_tampered_with_deleted_or_never_made_is_told_apart():
    evidence = Evidence({"out.csv": "is not what its job made"}, lambda path: "1")
    assert "out.csv is not what its job made" in told(evidence)
    os.unlink("out.csv")
    assert "out.csv was deleted" in told()
    os.unlink("out.csv.prov.json")
    assert "was never made" in told()


def test_the_time_of_earlier_runs_is_added_up():
    assert "1 job in all; by earlier runs, 1 min 30 s of work" in told(forced=True)
    assert explain_plan([], Evidence()) == "Nothing is stale."


def test_differences_of_nests_name_the_key_and_know_numbers_from_truth():
    found = list(differences({"a": {"b": 1}, "c": 1}, {"a": {"b": 2}, "c": True}))
    assert found == [("a.b", 1, 2), ("c", 1, True)]


@pytest.mark.workflow
def test_why_names_module_key_and_tampered_file_of_a_real_study(study_copy):
    probe = study_copy / "workflow_scripts/robust_transfer/transfer/probe.py"
    probe.write_text(probe.read_text() + "\nX = 1\n")
    config = study_copy / TINY[1]
    config.write_text(config.read_text().replace("steps: 4", "steps: 5"))
    weights = "results/tiny/pretrain/resnet_small_w4-letters-l2-eps0-seed0/weights.safetensors"
    (study_copy / weights).write_bytes(b"no weights")
    said = snakemake(study_copy, "why", "--quiet", "all").said
    assert "because module robust_transfer.transfer.probe changed" in said
    assert "because transfer.full.steps: 4 -> 5" in said
    assert f"because {weights} is not what its job made" in said
    assert "What follows from these: " in said
    assert "by earlier runs, " in said
