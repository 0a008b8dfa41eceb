"""The workflow with every kind of transfer: each lands in its own table, and the audit agrees."""

import json
import re
import shutil

import pandas as pd
import pytest
from workflow import ROOT, copy_workflow, plan, snakemake

pytestmark = pytest.mark.workflow
BUDGETS = ["label_budget", "trainable_blocks"]


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with budgets, blocks, controls, protocol paper and attacks, and its audit."""
    folder = copy_workflow(tmp_path_factory.mktemp("variants"))
    shutil.copy(ROOT / "tests/transfer_variants.yaml", folder / "tests")
    words = ("--configfile", "tests/tiny.yaml", "tests/transfer_variants.yaml")
    for target in ("all", "audit"):
        done = snakemake(folder, target, study=words)
        assert done.code == 0, done.said
    return folder / "results/variants"


def test_every_kind_of_transfer_has_its_rows(study):
    accuracy = pd.read_csv(study / "analysis/accuracy.csv", keep_default_na=False)
    counts = accuracy.groupby(["source", "mode", "protocol", *BUDGETS]).size()
    a_cell = 2  # transfer seeds
    both = 2 * a_cell  # backbones
    expected = {}
    for protocol in ("clean", "paper"):
        for budget in ("1", "all"):
            expected["letters", "fixed", protocol, budget, "all"] = both
        for blocks in ("1", "all"):
            expected["letters", "full", protocol, "all", blocks] = both
        for mode in ("fixed", "full"):
            expected["none", mode, protocol, "all", "all"] = a_cell
    assert counts.to_dict() == expected


def test_features_are_computed_once_for_all_label_budgets(study):
    kept = {path.parent for path in (study / "transfer").rglob("features.npy")}
    assert len(kept) == 2  # two backbones; the control has one probe, which computes its own
    for place in kept:
        for budget in ("all", "labels1"):
            path = place / f"fixed/clean/{budget}/seed0/predictions.npz.prov.json"
            inputs = {each["path"] for each in json.loads(path.read_text())["inputs"]}
            assert any(each.endswith("features.json") for each in inputs)


@pytest.mark.parametrize(
    ("change", "again"),
    [("fixed: {label_budgets: [1, all], augmentation: none}", {"extract_features": 2}),
     ("fixed: {label_budgets: [1, all], augmented_views: 2}", {"extract_features": 2}),
     ("fixed: {label_budgets: [1, all], penalties: [0.5]}", {}),
     ("fixed: {label_budgets: [1, 2, all]}", {})],
)  # fmt: skip
def test_features_are_computed_again_where_they_would_differ(study, change, again):
    root = study.parent.parent
    overlay = root / "tests/transfer_variants.yaml"
    text = overlay.read_text(encoding="utf-8")
    overlay.write_text(text.replace("fixed: {label_budgets: [1, all]}", change), encoding="utf-8")
    found = plan(root, study=("--configfile", "tests/tiny.yaml", "tests/transfer_variants.yaml"))
    overlay.write_text(text, encoding="utf-8")
    assert found["transfer_backbone"]
    assert {rule: n for rule, n in found.items() if rule == "extract_features"} == again


def test_rows_chosen_on_test_or_on_nothing_say_so(study):
    accuracy = pd.read_csv(study / "analysis/accuracy.csv")
    on = accuracy.groupby("protocol")["selected_on"].unique()
    assert set(on["paper"]) == {"test"}
    assert set(on["clean"]) == {"validation", "none"}
    assert set(accuracy[accuracy["selected_on"] == "none"]["label_budget"]) == {"1"}
    chosen = accuracy["selected_on"] == "validation"
    assert (accuracy["validation_accuracy"].notna() == chosen).all()


def test_no_statistic_counts_them(study):
    welch = pd.read_csv(study / "analysis/welch.csv", keep_default_na=False)
    assert set(welch["source"]) == {"letters"}
    assert set(zip(welch["n_robust"], welch["n_standard"], strict=True)) == {(2, 2)}
    assert len(welch) == 4  # modes x protocols
    recommendation = pd.read_csv(study / "analysis/recommendation.csv")
    assert set(recommendation["n"]) == {2}
    assert len(recommendation) == 8  # backbones x modes x protocols


def test_the_report_shows_them_beside(study):
    variants = pd.read_csv(study / "report/tables/variants.csv", keep_default_na=False)
    assert set(variants["source"]) == {"letters", "none"}
    assert set(variants["label_budget"].astype(str)) == {"1", "all"}
    chosen = variants.groupby("protocol")["selected_on"].unique()
    assert set(chosen["paper"]) == {"test"}
    assert "test" not in set(chosen["clean"])
    page = (study / "report/report.html").read_text(encoding="utf-8")
    for words in ("never pretrained", "Does robustness survive the transfer?", "Chosen on"):
        assert words in page
    budgets = pd.read_csv(study / "report/figures/label_budget.csv")
    assert set(budgets["label_budget"]) == {"1", "all"}
    assert set(budgets["mode"]) == {"fixed"}


def test_the_report_counts_what_transfers_met_with(study):
    notes = pd.read_csv(study / "report/tables/notes.csv")
    (row,) = notes[notes["note"].str.startswith("one image a class")].to_dict("records")
    assert (row["dataset"], row["mode"], row["protocol"]) == ("digits", "fixed", "clean")
    assert row["n"] == 2 * 2  # backbones and seeds
    assert row["note"] in (study / "report/report.html").read_text(encoding="utf-8")


def test_every_transfer_was_attacked(study):
    robust = pd.read_csv(study / "analysis/robust_accuracy.csv")
    accuracy = pd.read_csv(study / "analysis/accuracy.csv")
    assert len(robust) == len(accuracy)
    assert (robust["robust_accuracy"] <= robust["clean_accuracy"] + 1e-9).all()
    assert set(robust[robust["protocol"] == "paper"]["selected_on"]) == {"test"}


def test_no_two_rows_of_accuracy_under_attack_look_alike(study):
    page = (study / "report/report.html").read_text(encoding="utf-8")
    table = page[page.index("Does robustness survive the transfer?") :]
    rows = re.findall(r"<tr[^>]*>(.*?)</tr>", table[: table.index("</table>")], re.DOTALL)
    measured = 3  # columns: accuracy clean and attacked, number of images
    identities = [tuple(re.findall(r"<td[^>]*>(.*?)</td>", row)[:-measured]) for row in rows[1:]]
    assert (
        len(set(identities))
        == len(identities)
        == len(pd.read_csv(study / "analysis/robust_accuracy.csv"))
    )


def test_the_audit_finds_no_fault(study):
    found = json.loads((study / "audit/audit.json").read_text())
    assert [check for check in found["checks"] if check["status"] == "FAIL"] == []
