"""Each way to tamper with a study turns the check that it belongs to, and no other."""

import re

import numpy as np
import pytest
import yaml
from forgery import Forgery, more
from safetensors.numpy import load_file, save_file

pytestmark = pytest.mark.workflow

BACKBONE = "resnet_small_w4-letters-l2-eps0.25-seed0"
CELL = {"backbone": BACKBONE, "mode": "full"}
CACHE = {"dataset": "digits"}


def predictions(f, seed=0):
    return f.one("transfer_backbone", "predictions", seed, **CELL)


def transfer_record(f, seed=0):
    return f.one("transfer_backbone", "records", seed, **CELL)


def weights(f, name="weights"):
    return f.one("pretrain_backbone", name, backbone=BACKBONE)


def table(f, name):
    rules = {"accuracy": "tabulate_accuracy", "pearson": "correlate"}
    return f.one(rules.get(name, "test_robust_against_standard"), name)


def cache(f, name):
    return f.one("build_image_cache", name, **CACHE)


def report(f):
    return f.one("write_report", "page")


def edit_weights(f, change):
    path = weights(f)
    from safetensors import safe_open

    with safe_open(f.root / path, "np") as stored:
        header = stored.metadata()
    state = load_file(f.root / path)
    change(state)
    (f.root / path).unlink()
    save_file(state, f.root / path, header)
    f.forge(path)


# Bytes


def flip(find, called):
    def change(f):
        f.flip(find(f))

    change.__name__ = f"flip_a_bit_of_{called}"
    return change


def edit_last_digit(f):
    f.edit_rows(table(f, "welch"), lambda rows: rows[0].update(t=more(rows[0]["t"])))


def copy_under_another_seed(f):
    f.write(predictions(f, 1), f.read(predictions(f, 0)))


def swap_two_files(f):
    one, other = predictions(f, 0), predictions(f, 1)
    contents = f.read(one), f.read(other)
    f.write(one, contents[1])
    f.write(other, contents[0])


def forge_the_digest_alone(f):
    path = table(f, "pearson")
    f.edit(f"{path}.prov.json", lambda r: (r["output"].update(sha256="0" * 64),
                                           r["outputs"][0].update(sha256="0" * 64)))  # fmt: skip


# Files there and not there


def drop_a_seed(f):
    for path in (predictions(f, 1), transfer_record(f, 1)):
        f.remove(path, f"{path}.prov.json")


def empty_a_file(f):
    f.write(table(f, "pearson"), b"")


def add_a_seed(f):
    path = predictions(f).replace("seed0/predictions", "seed7/predictions")
    f.write(path, f.read(predictions(f)))


def leave_a_training_state(f):
    f.write(f"results/tiny/pretrain/{BACKBONE}/.weights.safetensors.training.safetensors", b"half")


# Records


def remove_a_record(f):
    f.remove(f"{report(f)}.prov.json")


def truncate_a_record(f):
    path = f"{table(f, 'accuracy')}.prov.json"
    f.write(path, f.read(path)[:-200])


def put_a_record_beside_another_file(f):
    f.write(f"{predictions(f, 1)}.prov.json", f.read(f"{predictions(f, 0)}.prov.json"))


def forge_one_record_of_a_job(f):
    f.edit(f"{weights(f)}.prov.json", lambda r: r["environment"].update(host="elsewhere"))


def forge_one_record_of_a_changed_file(f):
    f.flip(predictions(f))
    path = f"{predictions(f)}.prov.json"
    f.forge(predictions(f), consumers=False)
    told = f.json(path)["output"]
    other = f"{predictions(f, 1)}.prov.json"
    wrong = next(e for e in f.json(other)["outputs"] if e["path"] == told["path"])
    f.edit(other, lambda r: r["outputs"][r["outputs"].index(wrong)].update(sha256="0" * 64))


# Chains


def change_predictions_and_their_records(f):
    said = f.arrays(predictions(f))
    f.write_arrays(predictions(f), **said | {"logits": said["logits"][:, ::-1]})
    f.forge(predictions(f), consumers=False)


def change_a_table_and_its_record(f):
    f.edit_rows(table(f, "accuracy"), lambda rows: rows[0].update(accuracy="0.99"))
    f.forge(table(f, "accuracy"), consumers=False)


def swap_backbones(f):
    one = weights(f)
    f.write(one, f.read(one.replace("seed0", "seed1")))
    f.forge(one, consumers=False)


def replace_a_cache_after_training(f):
    labels = np.load(f.root / cache(f, "labels"))
    f.write_array(cache(f, "labels"), labels[::-1])
    seal_the_cache(f, consumers=False)


# Code and config


def edit_a_module(f):
    path = "workflow_scripts/robust_transfer/transfer/probe.py"
    f.replace(path, "MOST_ITERATIONS = 2000", "MOST_ITERATIONS = 1999")


def edit_a_script(f):
    f.replace("workflow_scripts/analysis/correlate.py", "recorded(", "(recorded)(")
    f.replace("workflow_scripts/analysis/correlate.py", "with (", "1\n    with (")


def swap_two_parameters(f):
    def swap(job):
        recipe = job["params"]["settings"]["recipe"]
        recipe["momentum"], recipe["weight_decay"] = recipe["weight_decay"], recipe["momentum"]

    f.replan("pretrain_backbone", swap)


def ask_for_another_confidence(f):
    f.replan("correlate", lambda job: job["params"]["settings"].update(confidence=0.9))


def ask_for_one_input_more(f):
    f.replan("draw_figures", lambda job: job["inputs"]["histories"].append("config.yaml"))


def forge_a_recorded_parameter(f):
    f.edit_records(predictions(f), lambda r: r["params"]["settings"]["recipe"].update(steps=5000))


def forge_a_recorded_code(f):
    f.edit_records(table(f, "accuracy"), lambda r: r["params"].update(code="0" * 64))


# Environment


def change_the_lock(f):
    path = "envs/requirements.lock"
    text = f.read(path).decode()
    (version,) = re.findall(r"^numpy==(\S+)", text, flags=re.MULTILINE)[:1]
    f.write(path, re.sub(r"^numpy==\S+", f"numpy=={version}1", text, flags=re.MULTILINE))


def come_from_another_commit(f):
    f.edit_records(predictions(f), lambda r: r["git"].update(commit="f" * 40))


def come_from_another_torch(f):
    f.edit_records(weights(f), lambda r: r["environment"]["packages"].update(torch="2.0.0"))


def come_from_another_device(f):
    f.edit_records(predictions(f), lambda r: r["environment"].update(device="A GPU"))


# Data, with every record forged to fit


def leak_test_images_into_train(f):
    images, files = np.load(f.root / cache(f, "images")), cache(f, "files")
    labels = np.load(f.root / cache(f, "labels"))
    n_train = f.json(cache(f, "manifest"))["n_train"]
    test = n_train + 3
    train = int(np.flatnonzero(labels[:n_train] == labels[test])[0])
    images[train] = images[test]
    f.write_array(cache(f, "images"), images)
    f.edit_rows(files, lambda rows: rows[train].update(sha256=rows[test]["sha256"]))
    seal_the_cache(f)


def leak_an_altered_test_image(f):
    images = np.load(f.root / cache(f, "images"))
    n_train = f.json(cache(f, "manifest"))["n_train"]
    images[5] = np.clip(images[n_train + 5].astype(int) + 2, 0, 255)
    f.write_array(cache(f, "images"), images)
    seal_the_cache(f)


def relabel_the_test_images(f):
    labels = np.load(f.root / cache(f, "labels"))
    f.write_array(cache(f, "labels"), np.roll(labels, 1))
    seal_the_cache(f)


def render_from_another_seed(f):
    f.edit_rows(cache(f, "files"), lambda rows: rows[7].update(sha256="0" * 64))
    seal_the_cache(f)


def forge_the_histogram(f):
    f.edit(cache(f, "manifest"), lambda m: m["histogram"]["train"].reverse()
           or m["histogram"]["train"].__setitem__(0, 99))  # fmt: skip
    f.forge(cache(f, "manifest"))


def seal_the_cache(f, *, consumers=True):
    """Make manifest and all records fit the files of a cache."""
    from robust_transfer.files import sha256

    def tell(manifest):
        names = ("images", "shapes", "labels")
        manifest["sha256"] = {name: sha256(f.root / cache(f, name)) for name in names}
        manifest["source_files_sha256"] = sha256(f.root / cache(f, "files"))

    f.edit(cache(f, "manifest"), tell)
    sealed = [cache(f, name) for name in ("images", "labels", "files", "manifest")]
    f.forge(*sealed, consumers=consumers)


def predict_training_images(f):
    said = f.arrays(predictions(f))
    f.write_arrays(predictions(f), **said | {"index": said["index"] - len(said["index"])})
    f.forge(predictions(f))


# Runs, with every record forged to fit


def choose_a_backbone_on_test(f):
    path = f.one("evaluate_backbone", "record", backbone=BACKBONE)
    f.edit(path, lambda said: said.update(selected_on="test"))
    f.forge(path)


def choose_what_was_no_candidate(f):
    path = transfer_record(f)
    f.edit(path, lambda said: said.update(selected="learning_rate=0.7"))
    f.forge(path)
    f.redo()


def choose_on_test(f):
    path = transfer_record(f)
    f.edit(path, lambda said: said.update(selected_on="test"))
    f.forge(path)
    f.redo()


def pass_one_seed_off_as_two(f):
    copy_under_another_seed(f)
    f.forge(predictions(f, 1))
    f.redo()


# Weights, with every record forged to fit


def disturb_the_weights(f):
    edit_weights(f, lambda state: state.update(
        {name: value * np.float32(1.01) for name, value in state.items()
         if value.dtype == np.float32}))  # fmt: skip


def put_a_nan_into_the_weights(f):
    edit_weights(f, lambda state: state.update(
        {name: np.full_like(value, np.nan) for name, value in state.items()
         if name.endswith("head.weight") or name == "fc.weight"}))  # fmt: skip


def pass_one_backbone_off_as_another(f):
    f.write(weights(f), f.read(weights(f).replace("seed0", "seed1")))
    f.forge(weights(f))


# Numbers, with every record forged to fit


def edit_a_p_value(f):
    f.edit_rows(table(f, "welch"), lambda rows: rows[0].update(p_value="0.04"))
    f.forge(table(f, "welch"))


def edit_an_accuracy(f):
    path = table(f, "accuracy")
    f.edit_rows(path, lambda rows: rows[3].update(accuracy="0.9", top1="0.9"))
    f.forge(path)


def leave_out_a_run(f):
    f.edit_rows(table(f, "accuracy"), lambda rows: rows[1:])
    f.forge(table(f, "accuracy"))


def edit_a_correlation(f):
    path = table(f, "pearson")
    f.edit_rows(path, lambda rows: rows[0].update(ci_low=str(float(rows[0]["ci_low"]) + 0.001)))
    f.forge(path)


def edit_a_selected_epsilon(f):
    f.edit_rows(table(f, "selected"), lambda rows: rows[0].update(replicate="transfer_seed"))
    f.forge(table(f, "selected"))


def edit_the_very_last_digit(f):
    f.edit_rows(table(f, "welch"), lambda rows: rows[0].update(t=more(rows[0]["t"])))
    f.forge(table(f, "welch"))


def edit_a_word_of_the_report(f):
    f.replace(report(f), "</h1>", " Yes!</h1>")
    f.forge(report(f))


def edit_a_table_of_the_report(f):
    path = next(p for p in f.outputs("write_report", "tables") if p.endswith("welch.tex"))
    f.replace(path, "digits", "Digits")
    f.forge(path)


def claim(f, **said):
    place = {"mode": "full", "dataset": "digits", "epsilon": 0.25}
    stated = {"name": "robust is better", "table": "welch", "where": place, **said}
    f.write("claims.yaml", yaml.safe_dump({"claims": [stated]}))
    object.__setattr__(f.plan, "claims", ("claims.yaml",))


def claim_what_is_not_so(f):
    claim(f, quantity="mean_robust", equals=0.999, tolerance=0.0001)


def claim_what_is_uncertain(f):
    claim(f, quantity="difference", at_least=-1, at_most=0.0)


MUTATIONS = {
    "integrity": [
        *(flip(lambda f, name=name: cache(f, name), f"a_cache's_{name}")
          for name in ("images", "labels", "manifest", "files")),
        *(flip(lambda f, name=name: weights(f, name), f"pretraining's_{name}")
          for name in ("weights", "last", "history")),
        flip(predictions, "predictions"), flip(transfer_record, "a_transfer's_record"),
        flip(lambda f: table(f, "accuracy"), "a_table"), flip(report, "the_report"),
        flip(lambda f: f.one("evaluate_backbone", "examples"), "examples"),
        flip(lambda f: f.one("draw_figures", "vectors"), "a_figure"), edit_last_digit,
        copy_under_another_seed, swap_two_files, forge_the_digest_alone,
    ],
    "completeness": [drop_a_seed, empty_a_file, add_a_seed, leave_a_training_state],
    "records": [
        remove_a_record, truncate_a_record, put_a_record_beside_another_file,
        forge_one_record_of_a_job, forge_one_record_of_a_changed_file,
    ],
    "custody": [
        change_predictions_and_their_records, change_a_table_and_its_record, swap_backbones,
        replace_a_cache_after_training,
    ],
    "currency": [
        edit_a_module, edit_a_script, swap_two_parameters, ask_for_another_confidence,
        ask_for_one_input_more, forge_a_recorded_parameter, forge_a_recorded_code,
    ],
    "environment": [
        change_the_lock, come_from_another_commit, come_from_another_torch,
        come_from_another_device,
    ],
    "data": [
        leak_test_images_into_train, leak_an_altered_test_image, relabel_the_test_images,
        render_from_another_seed, forge_the_histogram, predict_training_images,
    ],
    "selection": [choose_a_backbone_on_test, choose_what_was_no_candidate, choose_on_test],
    "replicates": [pass_one_seed_off_as_two],
    "weights": [
        disturb_the_weights, put_a_nan_into_the_weights, pass_one_backbone_off_as_another,
    ],
    "statistics": [
        edit_a_p_value, edit_an_accuracy, leave_out_a_run, edit_a_correlation,
        edit_a_selected_epsilon,
    ],
    "tables": [edit_the_very_last_digit, edit_a_word_of_the_report, edit_a_table_of_the_report],
    "claims": [claim_what_is_not_so],
}  # fmt: skip
CASES = [(check, change) for check, changes in MUTATIONS.items() for change in changes]


def name(case):
    return f"{case[0]}-{case[1].__name__}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_change_turns_its_own_check_and_no_other(audited_study, tmp_path, case):
    expected, change = case
    forgery = Forgery(audited_study, tmp_path / "study")
    change(forgery)
    wrong = [check for check in forgery.audit() if check.status != "PASS"]
    assert {check.name for check in wrong} == {expected}, wrong


def test_an_untouched_study_passes_without_a_warning(audited_study, tmp_path):
    found = Forgery(audited_study, tmp_path / "study").audit()
    assert [check for check in found if check.status != "PASS"] == []
    judged = {check.name for check in found}
    assert judged >= set(MUTATIONS) - {"claims"}


def test_a_claim_that_the_interval_does_not_settle_is_undecided(audited_study, tmp_path):
    forgery = Forgery(audited_study, tmp_path / "study")
    claim_what_is_uncertain(forgery)
    (said,) = [check for check in forgery.audit() if check.name == "claims"]
    assert said.status == "WARN"
    assert "undecided" in said.evidence
