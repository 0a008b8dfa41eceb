"""The workflow, run: fresh, again, with one thing changed, with one thing asked for, killed."""

import os
import signal
import subprocess
import time

import pandas as pd
import pytest
import yaml
from workflow import TINY, environment, plan, snakemake

pytestmark = pytest.mark.workflow

ANALYSIS = {
    "tabulate_accuracy": 1,
    "correlate": 1,
    "test_robust_against_standard": 1,
    "compare_best": 1,
    "test_equivalence": 1,
    "recommend_backbone": 1,
    "predict_best_epsilon": 1,
    "fit_mixed_model": 1,
    "draw_figures": 1,
    "write_report": 1,
}


def change_config(folder, change):
    path = folder / "tests/tiny.yaml"
    config = yaml.safe_load(path.read_text())
    change(config)
    path.write_text(yaml.safe_dump(config))


def test_a_fresh_run_leaves_every_file_of_the_contract(finished_study):
    results = finished_study / "results/tiny"
    accuracy = pd.read_csv(results / "analysis/accuracy.csv")
    assert len(accuracy) == 4 * 2 * 2  # backbones x modes x transfer seeds
    assert accuracy.accuracy.between(0, 1).all()
    assert set(accuracy.origin) == {"run"}
    for name in ("analysis/pearson.csv", "analysis/welch.csv", "report/report.html"):
        assert (results / name).stat().st_size > 100
    assert not list(results.rglob(".*.part*"))
    assert not list(results.rglob(".*.safetensors")), "a training state was left behind"


def test_every_output_has_its_record(finished_study):
    lacking = [
        path
        for path in (finished_study / "results/tiny").rglob("*")
        if path.suffix not in (".log", ".json") and path.is_file()
        if not path.with_name(f"{path.name}.prov.json").exists()
    ]
    assert lacking == []


def test_a_second_run_does_nothing(study_copy):
    again = snakemake(study_copy)
    assert again.code == 0
    assert "Nothing to be done" in again.said


def test_one_epsilon_more_runs_that_backbone_its_transfers_and_the_analysis(study_copy):
    change_config(
        study_copy,
        lambda c: c["pretrain"]["backbones"].append(
            {"architecture": "resnet_small_w4", "norm": "l2", "epsilon": [0.5], "seeds": [0]}
        ),
    )
    assert plan(study_copy) == ANALYSIS | {
        "pretrain_backbone": 1,
        "evaluate_backbone": 1,
        "transfer_backbone": 2,
    }


def test_one_target_builds_its_own_ancestors_alone(finished_study, tmp_path):
    target = (
        "results/tiny/transfer/resnet_small_w4-letters-l2-eps0.25-seed1/digits/native/fixed/clean/all"
        "/seed0/predictions.npz"
    )
    assert plan(finished_study, target, "--forceall") == {
        "build_image_cache": 2,
        "pretrain_backbone": 1,
        "transfer_backbone": 1,
    }


def test_a_changed_probe_setting_reruns_the_fixed_transfers_alone(study_copy):
    change_config(study_copy, lambda c: c["transfer"].update(fixed={"augmented_views": 0}))
    assert plan(study_copy) == ANALYSIS | {"transfer_backbone": 4}


def test_a_changed_evaluation_retrains_nothing(study_copy):
    change_config(study_copy, lambda c: c["pretrain"].update(evaluation={"images": 30}))
    assert plan(study_copy) == ANALYSIS | {"evaluate_backbone": 4}


def test_a_touch_of_everything_reruns_nothing(study_copy):
    for path in sorted(study_copy.rglob("*")):
        if path.is_file() and ".snakemake" not in path.parts:
            path.touch()
    assert plan(study_copy) == {}


def test_a_comment_reruns_nothing_and_a_changed_line_what_imports_it(study_copy):
    probe = study_copy / "workflow_scripts/robust_transfer/transfer/probe.py"
    probe.write_text(probe.read_text() + "\n# only a comment\n")
    assert plan(study_copy) == {}
    probe.write_text(probe.read_text().replace("MOST_ITERATIONS = 2000", "MOST_ITERATIONS = 1999"))
    assert plan(study_copy) == ANALYSIS | {"transfer_backbone": 8}


def test_other_penalties_fit_anew_on_the_features_that_are_kept(study_copy):
    change_config(study_copy, lambda c: c["transfer"].update(fixed={"penalties": [0.5, 5]}))
    assert plan(study_copy) == ANALYSIS | {"transfer_backbone": 4}


def test_a_wrong_config_stops_before_any_job_and_leaves_results_alone(study_copy):
    before = sorted(study_copy.rglob("results/**/*.csv"))
    change_config(study_copy, lambda c: c["transfer"].update(modes=["fixed", "ful"]))
    refused = snakemake(study_copy)
    assert refused.code != 0
    assert "Did you mean 'full'?" in refused.said
    assert "Job stats" not in refused.said
    assert sorted(study_copy.rglob("results/**/*.csv")) == before


def test_a_corrupt_image_names_itself_and_what_was_computed_stays(study_copy):
    photos = study_copy / "data/photos"
    for name in ("cats", "dogs"):
        (photos / name).mkdir(parents=True)
        (photos / name / "broken.png").write_bytes(b"\x89PNG but not really")
    change_config(
        study_copy,
        lambda c: (
            c["data"]["datasets"].append(
                {
                    "name": "photos",
                    "kind": "folder",
                    "path": "photos",
                    "test_fraction": 0.5,
                    "split_seed": 0,
                }
            ),
            c["transfer"]["datasets"].append({"name": "photos", "resolutions": ["native"]}),
        ),
    )
    failed = snakemake(study_copy)
    assert failed.code != 0
    assert "broken.png" in failed.said
    assert (study_copy / "results/tiny/transfer").is_dir()
    assert len(list((study_copy / "results/tiny").rglob("predictions.npz"))) == 16


def test_a_killed_run_goes_on_and_ends_with_the_same_bytes(finished_study, study_copy):
    weights = "results/tiny/pretrain/resnet_small_w4-letters-l2-eps0.25-seed0/weights.safetensors"
    whole = (finished_study / weights).read_bytes()
    (study_copy / weights).unlink()
    run = subprocess.Popen(
        ["snakemake", "--cores", "1", weights, *TINY],
        cwd=study_copy,
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    time.sleep(8)
    os.killpg(run.pid, signal.SIGKILL)
    run.wait()
    again = snakemake(study_copy, weights, "--rerun-incomplete", "--nolock")
    assert again.code == 0, again.said
    assert (study_copy / weights).read_bytes() == whole


def test_the_cluster_command_plans_as_typed(finished_study):
    told = snakemake(finished_study, "--dry-run", "--forceall", "--profile", "slurm", cores=8)
    assert told.code == 0, told.said
    assert told.rules_run["pretrain_backbone"] == 4


def mounted(folder, options):
    """Mount a small file system of its own on a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a full or read-only disk needs root")
@pytest.mark.parametrize(
    ("options", "words"),
    [("size=500k", "the disk is full"), ("ro,size=10k", "Read-only file system")],
)
def test_a_disk_that_cannot_be_written_says_so_and_the_rest_stays(study_copy, options, words):
    for path in (study_copy / "cache").iterdir():
        path.rename(study_copy / f"moved-{path.name}")
    mounted(study_copy / "cache", options)
    try:
        failed = snakemake(study_copy, "--forcerun", "build_image_cache")
    finally:
        subprocess.run(["umount", study_copy / "cache"], check=True)
    assert failed.code != 0
    assert words in failed.said
    assert len(list((study_copy / "results/tiny").rglob("predictions.npz"))) == 16
