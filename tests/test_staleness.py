"""Exactly what is stale reruns: the table of what must and must not, row by row."""

import os
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest
import yaml
from workflow import TINY, plan

pytestmark = pytest.mark.workflow

LIBRARY = "workflow_scripts/robust_transfer"
RESULTS = "results/tiny"
BACKBONE = f"{RESULTS}/pretrain/resnet_small_w4-letters-l2-eps0-seed0"
CELL = f"{RESULTS}/transfer/resnet_small_w4-letters-l2-eps0-seed0/digits/native/fixed/clean/all"

# Which rules run, as a sum of these.
NOTHING: dict[str, int] = {}
PAGE = {"write_report": 1}
FIGURES = {"draw_figures": 1} | PAGE
CORRELATE = {"correlate": 1} | FIGURES
CONFIDENCE = CORRELATE | {
    "test_robust_against_standard": 1,
    "test_equivalence": 1,
    "recommend_backbone": 1,
    "predict_best_epsilon": 1,
    "fit_mixed_model": 1,
}
ANALYSIS = CONFIDENCE | {"tabulate_accuracy": 1, "compare_best": 1}
GRANULARITY = {"extract_features": 1, "measure_granularity": 1}
EVALUATE = ANALYSIS | {"evaluate_backbone": 4}
TRANSFER = ANALYSIS | {"transfer_backbone": 8}
FEATURES = TRANSFER | GRANULARITY  # granularity is measured on the features that the probe sees
PRETRAIN = FEATURES | {"evaluate_backbone": 4, "pretrain_backbone": 4}
ONE_BACKBONE = (
    ANALYSIS
    | GRANULARITY
    | {"pretrain_backbone": 1, "evaluate_backbone": 1, "transfer_backbone": 2}
)


def replaced(path, old, new):
    """An edit: one text of a file becomes another."""

    def edit(folder):
        text = (folder / path).read_text(encoding="utf-8")
        assert old in text, f"{path} has no {old!r}"
        (folder / path).write_text(text.replace(old, new), encoding="utf-8")

    return edit


def appended(path, text):
    """An edit: a file ends with one text more, or is new."""

    def edit(folder):
        with (folder / path).open("a", encoding="utf-8") as file:
            file.write(text)

    return edit


def config(change):
    """An edit of the study's config."""

    def edit(folder):
        path = folder / TINY[1]
        settings = yaml.safe_load(path.read_text())
        change(settings)
        path.write_text(yaml.safe_dump(settings, sort_keys=False))

    return edit


def tampered(path):
    """An edit of one byte of an output, its size and time as they were."""

    def edit(folder):
        file = folder / path
        before = file.stat()
        content = bytearray(file.read_bytes())
        content[-3] ^= 1
        file.write_bytes(bytes(content))
        os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    return edit


def removed(*paths):
    def edit(folder):
        for path in paths:
            target = folder / path
            shutil.rmtree(target) if target.is_dir() else target.unlink()

    return edit


def removed_below(folder, pattern):
    def edit(study):
        (path,) = (study / folder).glob(pattern)
        path.unlink()

    return edit


def times(time_of):
    """An edit of every file's time, the code's and the results'."""

    def edit(folder):
        for number, path in enumerate(sorted(folder.rglob("*"))):
            if path.is_file() and ".snakemake" not in path.parts:
                os.utime(path, (time_of(number), time_of(number)))

    return edit


def both(*edits):
    def edit(folder):
        for each in edits:
            each(folder)

    return edit


def to_and_fro(folder):
    """A git checkout of other code and back, which gives files new times."""

    def git(*words):
        identity = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]
        subprocess.run(["git", *identity, *words], cwd=folder, check=True, capture_output=True)

    git("init", "--initial-branch=main")
    git("add", "Snakefile", "config.yaml", "rules", "workflow_scripts", "tests", "profiles")
    git("commit", "--message=One")
    replaced(f"{LIBRARY}/transfer/probe.py", "MOST_ITERATIONS = 2000", "MOST_ITERATIONS = 1999")(
        folder
    )
    git("commit", "--all", "--message=Two")
    git("checkout", "HEAD~1")


def swap(settings):
    settings["pretrain"]["recipe"].update(momentum=0.2, warmup=0.9)


TABLE = {
    # code
    "a comment": (appended(f"{LIBRARY}/transfer/probe.py", "\n# only\n"), NOTHING),
    "a docstring": (replaced(f"{LIBRARY}/transfer/probe.py", '"""Multi', '"""A multi'), NOTHING),
    "the layout": (replaced(f"{LIBRARY}/transfer/probe.py", "\n\n\n", "\n\n\n\n\n"), NOTHING),
    "a module that nothing imports": (appended(f"{LIBRARY}/spare.py", "X = 1\n"), NOTHING),
    "a line of the probe": (appended(f"{LIBRARY}/transfer/probe.py", "X = 1\n"), TRANSFER),
    "a line of features": (appended(f"{LIBRARY}/transfer/features.py", "X = 1\n"), FEATURES),
    "a line of pretraining": (appended(f"{LIBRARY}/training/pretrain.py", "X = 1\n"), PRETRAIN),
    "a line of scoring": (appended(f"{LIBRARY}/training/score.py", "X = 1\n"), EVALUATE),
    "a line of the figures": (appended(f"{LIBRARY}/figures/cost.py", "X = 1\n"), FIGURES),
    "a line of a script": (
        replaced("workflow_scripts/analysis/correlate.py", "with rec", "X = 1\n    with rec"),
        CORRELATE,
    ),
    "a colour of the page": (appended(f"{LIBRARY}/report/report.css", "td {}\n"), PAGE),
    "a rule's text": (appended("rules/analysis.smk", "\n# only a comment\n"), NOTHING),
    # config
    "a comment in the config": (appended(TINY[1], "# only\n"), NOTHING),
    "a number spelled otherwise": (replaced(TINY[1], "0.25]", "1/4]"), NOTHING),
    "keys in another order": (
        config(lambda c: c.update({key: c.pop(key) for key in sorted(c)})), NOTHING),
    "the title": (config(lambda c: c["report"].update(title="New")), FIGURES),
    "the confidence": (
        config(lambda c: c.update(analysis={"confidence": 0.9})),
        CONFIDENCE,
    ),
    "the evaluation": (config(lambda c: c["pretrain"].update(evaluation={"images": 30})), EVALUATE),
    "a setting of the probe": (
        config(lambda c: c["transfer"].update(fixed={"augmented_views": 0})),
        ANALYSIS | {"transfer_backbone": 4},
    ),
    "a setting of full transfer": (
        config(lambda c: c["transfer"]["full"].update(steps=5)),
        ANALYSIS | {"transfer_backbone": 4},
    ),
    "a setting of pretraining": (
        config(lambda c: c["pretrain"]["recipe"].update(epochs=3)), PRETRAIN),
    "two settings that swap their values": (config(swap), PRETRAIN),
    "one transfer seed more": (config(lambda c: c["transfer"]["seeds"].append(2)), TRANSFER),
    "one epsilon less": (
        config(lambda c: c["pretrain"]["backbones"][0].update(epsilon=[0])), ANALYSIS),
    "how a dataset is scored": (
        config(lambda c: c["data"]["datasets"][1].update(metric="mean_per_class")), TRANSFER),
    "another image of a toy dataset": (
        config(lambda c: c["data"]["datasets"][1].update(seed=7)),
        TRANSFER | GRANULARITY | {"build_image_cache": 1},
    ),
    # outputs
    "a tampered table": (tampered(f"{RESULTS}/analysis/accuracy.csv"), ANALYSIS),
    "tampered weights": (tampered(f"{BACKBONE}/weights.safetensors"), ONE_BACKBONE),
    "a tampered last output": (tampered(f"{RESULTS}/report/report.html"), PAGE),
    "tampered predictions": (
        tampered(f"{CELL}/seed1/predictions.npz"), ANALYSIS | {"transfer_backbone": 1}),
    "an output that nothing needs, deleted": (removed(f"{BACKBONE}/last.safetensors"), NOTHING),
    "an output deleted whose offspring stands": (
        removed(f"{CELL}/seed1/predictions.npz"), NOTHING),
    "a final output deleted": (removed(f"{RESULTS}/report/report.html"), PAGE),
    "a file of a cache deleted": (
        removed_below("cache", "digits-*/native/images.npy"),
        TRANSFER | GRANULARITY | {"build_image_cache": 1},
    ),
    # environment
    "the workflow's notes deleted": (removed(".snakemake"), NOTHING),
    "the notes deleted and a line changed": (
        both(removed(".snakemake"), appended(f"{LIBRARY}/transfer/probe.py", "X = 1\n")), TRANSFER),
    "the notes deleted and a file tampered with": (
        both(removed(".snakemake"), tampered(f"{RESULTS}/report/report.html")), PAGE),
    "the ledger damaged": (
        appended(".snakemake/ledger.json", "{"), NOTHING),
    "an environment file": (appended("envs/torch.yaml", "# only\n"), NOTHING),
    "the Slurm profile": (replaced("slurm/profile.yaml", "mem_mb: ", "mem_mb:  "), NOTHING),
    # file times
    "a touch of everything": (times(lambda number: 2_000_000_000 + number), NOTHING),
    "times in reverse": (times(lambda number: 2_000_000_000 - number), NOTHING),
    "all times alike": (times(lambda number: 0), NOTHING),
    "a clone with times as they fall, without notes": (
        both(removed(".snakemake"), times(lambda number: 1_700_000_000 + number * 7919 % 100)),
        NOTHING,
    ),
    "a checkout to and fro": (to_and_fro, NOTHING),
}  # fmt: skip


@pytest.fixture(scope="module")
def planned(request, finished_study, tmp_path_factory):
    """What would run after each edit of the rows that are tested, two at a time."""

    def plan_row(row):
        folder = tmp_path_factory.mktemp("row") / "study"
        shutil.copytree(finished_study, folder, symlinks=True)
        TABLE[row][0](folder)
        return plan(folder)

    chosen = [each.callspec.params["row"] for each in request.session.items
              if each.path == request.path and "row" in each.callspec.params]  # fmt: skip
    pool = ThreadPoolExecutor(2)
    return {row: pool.submit(plan_row, row) for row in chosen}


@pytest.mark.parametrize("row", TABLE)
def test_an_edit_reruns_exactly_what_it_makes_stale(planned, row):
    assert planned[row].result() == TABLE[row][1]
