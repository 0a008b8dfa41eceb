"""The audit as a user meets it: exit codes, files, replay, bundle."""

import json
import os
import shutil
import subprocess
import sys
import zipfile

import pytest
from forgery import Forgery
from robust_transfer.audit import tables
from robust_transfer.audit.bundle import write_bundle
from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.replay import draw_jobs, replay
from robust_transfer.audit.rerun import run_here
from robust_transfer.errors import ConfigError
from threadpoolctl import threadpool_info, threadpool_limits
from workflow import snakemake

pytestmark = pytest.mark.workflow


@pytest.fixture
def forgery(audited_study, tmp_path):
    return Forgery(audited_study, tmp_path / "study")


def evidence_of(forgery):
    return Evidence(forgery.plan, forgery.root, forgery.root)


def test_the_audit_passes_and_keeps_its_contract(audited_study):
    folder = audited_study / "results/tiny/audit"
    told = json.loads((folder / "audit.json").read_text())
    assert told["verdict"] == "PASS"
    assert told["schema_version"] == 1
    for check in told["checks"]:
        assert set(check) == {"name", "status", "subject", "evidence"}
    assert {check["status"] for check in told["checks"]} == {"PASS"}
    (workflow,) = [check for check in told["checks"] if check["name"] == "workflow"]
    assert "Nothing to be done" in workflow["evidence"]
    page = (folder / "audit.html").read_text()
    assert "PASS" in page
    assert "Does a second implementation get the same numbers" in page


def test_a_failed_audit_writes_its_files_builds_nothing_and_exits_with_an_error(
    audited_study, tmp_path
):
    folder = shutil.copytree(audited_study, tmp_path / "study", symlinks=True)
    results = folder / "results/tiny"
    flipped, *_, lost = sorted(results.rglob("predictions.npz"))
    times = flipped.stat()
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"\1")
    os.utime(flipped, ns=(times.st_atime_ns, times.st_mtime_ns))
    lost.unlink()
    done = snakemake(folder, "--keep-going", "audit")
    assert done.code != 0
    assert f"FAIL integrity: {flipped.relative_to(folder)}" in done.said
    told = json.loads((results / "audit/audit.json").read_text())
    assert told["verdict"] == "FAIL"
    wrong = {(c["name"], c["subject"]) for c in told["checks"] if c["status"] != "PASS"}
    assert wrong == {
        ("integrity", str(flipped.relative_to(folder))),
        ("completeness", str(lost.relative_to(folder))),
    }
    assert "FAIL" in (results / "audit/audit.html").read_text()
    assert not lost.exists(), "the audit reads; it builds nothing again"


def test_a_record_says_what_made_its_file(audited_study):
    path = next((audited_study / "results/tiny").rglob("weights.safetensors.prov.json"))
    record = json.loads(path.read_text())
    assert record["seeds"]["settings.backbone.seed"] in (0, 1)
    assert "robust_transfer.attacks.pgd" in record["modules"]
    assert len(record["config_sha256"]) == 64
    assert {"driver", "slurm", "variables", "torch_threads"} <= set(record["environment"])
    assert {"deterministic_algorithms", "cudnn_benchmark", "tf32"} <= set(record["environment"])


def test_jobs_run_again_on_one_cpu_give_the_same_bits(forgery, tmp_path):
    evidence = evidence_of(forgery)
    wanted = [
        forgery.one("pretrain_backbone", "weights",
                    backbone="resnet_small_w4-letters-l2-eps0.25-seed1"),
        forgery.one("transfer_backbone", "predictions", mode="fixed"),
        forgery.one("transfer_backbone", "predictions", mode="full"),
        forgery.one("draw_figures", "vectors"),
    ]  # fmt: skip
    jobs = draw_jobs(evidence, wanted, seconds=0, seed=0)
    found = replay(evidence, jobs, tmp_path / "replay")
    assert [check for check in found if check.status != "PASS"] == []
    assert len(found) == sum(len(job.files) for job in jobs)
    bits = [c.evidence for c in found if c.subject.endswith((".npz", ".safetensors", ".svg"))]
    assert set(bits) == {"identical bytes"}
    assert not (tmp_path / "replay").exists()


def test_a_replay_shows_how_far_a_forged_result_is_off(forgery, tmp_path):
    path = forgery.one("correlate", "pearson")
    forgery.edit_rows(path, lambda rows: rows[0].update(r=str(float(rows[0]["r"]) + 0.5)))
    evidence = evidence_of(forgery)
    (check,) = replay(evidence, draw_jobs(evidence, [path], seconds=0, seed=0), tmp_path / "again")
    assert check.status == "FAIL"
    assert "largest difference of a number 0.5" in check.evidence


def test_a_draw_has_every_rule_and_repeats_from_its_seed(forgery):
    evidence = evidence_of(forgery)
    draws = [
        [job.title for job in draw_jobs(evidence, [], seconds=5, seed=s)] for s in (0, 0, 1, 2, 3)
    ]
    assert draws[0] == draws[1]
    assert len({tuple(draw) for draw in draws}) > 1
    rules = {job.rule for job in forgery.plan.jobs}
    assert {title.split()[0] for title in draws[0]} == rules
    assert len(draw_jobs(evidence, [], seconds=0, seed=0)) == len(rules)
    with pytest.raises(ConfigError, match="Did you mean 'correlate'"):
        draw_jobs(evidence, ["corelate"], seconds=0, seed=0)


def test_an_unpacked_bundle_is_audited_without_the_workflow(audited_study, tmp_path):
    forgery = Forgery(audited_study, tmp_path / "study")
    audit_files = [f"results/tiny/audit/{name}" for name in ("audit.json", "audit.html")]
    write_bundle(
        tmp_path / "tiny.crate.zip", forgery.plan, root=forgery.root, code=audited_study,
        audit_files=[*audit_files, "results/tiny/audit/plan.json"], entry="Snakefile",
        language="snakemake",
    )  # fmt: skip
    folder = tmp_path / "elsewhere"
    with zipfile.ZipFile(tmp_path / "tiny.crate.zip") as bundle:
        bundle.extractall(folder)
    crate = json.loads((folder / "ro-crate-metadata.json").read_text())
    types = [entity["@type"] for entity in crate["@graph"]]
    assert "CreateAction" in types
    assert any("ComputationalWorkflow" in str(kind) for kind in types)
    assert not list(folder.rglob("*.safetensors")), "weights go by hash"
    assert audit_bundle(folder).returncode == 0, audit_bundle(folder).stdout
    table = folder / "results/tiny/analysis/welch.csv"
    table.write_text(table.read_text().replace("0.", "1.", 1))
    tampered = audit_bundle(folder)
    assert tampered.returncode == 1
    assert "FAIL integrity: results/tiny/analysis/welch.csv" in tampered.stdout


def audit_bundle(folder):
    """Run the audit of a bundle with the bundle's own code."""
    environment = os.environ | {"PYTHONPATH": str(folder / "workflow_scripts")}
    return subprocess.run(
        [sys.executable, "-m", "robust_transfer.audit"], cwd=folder, env=environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_tables_are_made_again_with_one_thread_however_many_the_audit_has(
    audited_study, tmp_path, monkeypatch
):
    had = []

    def looking(*arguments):
        had.extend(pool["num_threads"] for pool in threadpool_info())
        return run_here(*arguments)

    monkeypatch.setattr("robust_transfer.audit.tables.run_here", looking)
    tables._remembered.cache_clear()
    with threadpool_limits(2):
        found = Forgery(audited_study, tmp_path / "study").audit()
    assert set(had) == {1}
    assert [check for check in found if check.status != "PASS"] == []
