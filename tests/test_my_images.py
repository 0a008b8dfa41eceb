"""A folder of images and a finished study -> an answer, and a model that torchvision loads."""

import csv
import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from PIL import Image
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.config.shorthand import expand_shorthand
from robust_transfer.errors import ConfigError, DataError
from robust_transfer.transfer.export import choose_run
from robust_transfer.transfer.mistakes import confusion, losses, most_wrong
from robust_transfer.transfer.predictions import Predictions, load_predictions
from robust_transfer.transfer.snippet import snippet, torchvision_state
from sklearn.metrics import confusion_matrix, log_loss
from workflow import ROOT, environment, snakemake

EXPORT = Path("results/my_images/export/my_images/native")
QUICK = ("--configfile", "studies/my_images.yaml", "my_images_quick.yaml")
#: Loads the model by the snippet alone, and gives its logits of image files.
ASK = """
import runpy, sys
script, out, *files = sys.argv[1:]
sys.argv = [script]
import numpy as np, torch
from PIL import Image
made = runpy.run_path(script)
assert not [name for name in sys.modules if name.startswith("robust_transfer")]
images = torch.stack([made["prepare"](Image.open(file).convert("RGB")) for file in files])
with torch.inference_mode():
    np.save(out, made["network"](images))
"""


def write_folder(folder, per_class=12, size=40):
    """Three classes of noisy stripes: two alike, one apart."""
    rng = np.random.default_rng(0)
    waves = {"coarse": 4.0, "fine ähnlich": 9.0, "fine": 10.0}
    x = np.linspace(0, 2 * np.pi, size)
    for name, waves_across in waves.items():
        (folder / name).mkdir(parents=True)
        for k in range(per_class):
            stripes = np.sin(waves_across * x + rng.uniform(0, 6))[None, :, None]
            pixels = 128 + 80 * stripes + rng.normal(0, 40, (size, size, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / name / f"{k}.png")
    return folder


@pytest.fixture(scope="module", params=["fixed", "full"])
def answered(request, finished_study, tmp_path_factory):
    """The results of one mode, for a folder of images and the backbones of a finished study."""
    folder = tmp_path_factory.mktemp(f"answered_{request.param}")
    for part in ("Snakefile", "config.yaml", "rules", "workflow_scripts", "profiles"):
        (folder / part).symlink_to(finished_study / part)
    for part in ("studies", "envs", "slurm"):
        (folder / part).symlink_to(ROOT / part)
    text = (ROOT / "tests/my_images_quick.yaml").read_text(encoding="utf-8")
    quick = text.replace("transfer:\n", f"transfer:\n  modes: [{request.param}]\n")
    (folder / "my_images_quick.yaml").write_text(quick, encoding="utf-8")
    images = write_folder(folder / "my photos")
    done = snakemake(
        folder,
        "--config", f"data={images}", f"backbones={finished_study}/results/tiny",
        study=QUICK,
    )  # fmt: skip
    assert done.code == 0, done.said
    return folder


def about(folder):
    return json.loads((folder / EXPORT / "model.json").read_text(encoding="utf-8"))


def chosen_run(folder):
    """The predictions of the run that the exported model was fitted as."""
    record = about(folder)
    for path in (folder / "results/my_images/transfer").rglob("transfer.json"):
        run = json.loads(path.read_text(encoding="utf-8"))
        keys = ("backbone", "mode", "transfer_seed")
        if all(run[key] == record[key] for key in keys):
            return load_predictions(path.with_name("predictions.npz"))
    raise AssertionError("no run is the exported one")


def test_the_snippet_alone_loads_the_model_and_it_says_what_the_transfer_stored(answered, tmp_path):
    stored = chosen_run(answered)
    with next((answered / "cache").rglob("native/files.csv")).open(encoding="utf-8") as stream:
        paths = {int(row["index"]): row["path"] for row in csv.DictReader(stream)}
    files = [answered / "my photos" / paths[index] for index in stored.index.tolist()]
    (tmp_path / "ask.py").write_text(ASK, encoding="utf-8")
    words = [sys.executable, "ask.py", answered / EXPORT / "load_model.py"]
    subprocess.run(
        [*words, tmp_path / "logits.npy", *files], cwd=tmp_path, env=environment(), check=True
    )
    logits = np.load(tmp_path / "logits.npy")
    np.testing.assert_allclose(logits, stored.logits, rtol=1e-3, atol=2e-3)
    exported = load_predictions(answered / EXPORT / "logits.npz")
    np.testing.assert_allclose(logits, exported.logits, rtol=1e-4, atol=1e-4)
    assert np.array_equal(exported.predicted, stored.predicted)


def test_the_snippet_names_the_class_of_a_file(answered, monkeypatch, capsys):
    image = next((answered / "my photos").rglob("*.png"))
    script = str(answered / EXPORT / "load_model.py")
    monkeypatch.setattr(sys, "argv", [script, str(image)])
    runpy.run_path(script, run_name="__main__")
    said = capsys.readouterr().out.strip()
    assert said.removeprefix(f"{image} ") in {"coarse", "fine", "fine ähnlich"}


def test_the_model_is_the_one_that_validation_chose(answered):
    runs = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in (answered / "results/my_images/transfer").rglob("transfer.json")
    ]
    means = {}
    for run in runs:
        means.setdefault((run["architecture"], run["epsilon"]), []).append(
            run["validation_accuracy"]
        )
    means = {key: np.mean(values) for key, values in means.items()}
    record = about(answered)
    assert means[record["architecture"], record["epsilon"]] == max(means.values())
    assert record["chosen_on"] == "validation"
    assert record["refit_largest_difference"] == 0  # on one CPU the fit repeats bit for bit
    assert record["refit_same_class"] == 1


def test_confusions_and_pictures_are_those_of_the_model(answered):
    said = load_predictions(answered / EXPORT / "logits.npz")
    with (answered / EXPORT / "confusion.csv").open(encoding="utf-8", newline="") as stream:
        head, *rows = csv.reader(stream)
    counts = np.array([[int(n) for n in row[1:]] for row in rows])
    assert head[1:] == [row[0] for row in rows] == ["coarse", "fine", "fine ähnlich"]
    assert np.array_equal(counts, confusion_matrix(said.labels, said.predicted, labels=[0, 1, 2]))
    with np.load(answered / EXPORT / "mistakes.npz") as mistakes:
        assert len(mistakes["paths"]) == (said.predicted != said.labels).sum()
        for pixels, path, true in zip(
            mistakes["images"], mistakes["paths"], mistakes["true"], strict=True
        ):
            file = answered / "my photos" / str(path)
            assert file.parent.name == true
            small = Image.open(file).resize(pixels.shape[:2], Image.Resampling.BICUBIC)
            assert np.abs(np.asarray(small, float) - pixels).mean() < 30


def test_the_report_answers_and_shows_pictures(answered):
    page = (answered / "results/my_images/report/report.html").read_text(encoding="utf-8")
    assert "Which backbone for my images?" in page
    assert 'id="take"' in page
    assert 'id="models"' in page
    assert "Confusion matrix" in page
    with np.load(answered / EXPORT / "mistakes.npz") as mistakes:
        assert len(mistakes["paths"])  # two classes are nearly alike
        assert page.count("data:image/jpeg") == len(mistakes["paths"])
    assert "model.safetensors" in page


def test_a_study_that_does_not_ask_exports_nothing(finished_study):
    assert not (finished_study / "results/tiny/export").exists()
    page = (finished_study / "results/tiny/report/report.html").read_text(encoding="utf-8")
    assert 'id="models"' not in page


# The lines that load a model

ARCHITECTURES = [
    "resnet18", "resnet50", "wide_resnet50_2", "wide_resnet50_4", "densenet161", "mnasnet1_0",
    "mobilenet_v2", "resnext50_32x4d", "shufflenet_v2_x1_0", "vgg16_bn", "googlenet",
    "inception_v3", "resnet_small", "resnet_small_w4",
]  # fmt: skip


@pytest.mark.filterwarnings("ignore:The default weight initialization:FutureWarning")
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_lines_of_every_architecture_load_its_weights(architecture, tmp_path, monkeypatch):
    size = 299 if architecture == "inception_v3" else 64
    given = {"mean": [0.5] * 3, "std": [0.25] * 3}
    with torch.random.fork_rng():
        model = make_backbone(architecture, classes=3, image_size=size, seed=None, **given)
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.uniform_(0.01, 0.11)
    state = torchvision_state(architecture, model.network_state())
    safetensors.torch.save_file(
        {k: v.contiguous() for k, v in state.items()}, tmp_path / "model.safetensors"
    )
    (tmp_path / "classes.txt").write_text("a\nb\nc\n", encoding="utf-8")
    text = snippet(
        {"architecture": architecture, "image_size": size, "resolution": "native",
         "native_short_side": None, **given}
    )  # fmt: skip
    monkeypatch.setattr(sys, "argv", ["load_model.py"])
    scope = {"__file__": str(tmp_path / "load_model.py")}
    exec(compile(text, "load_model.py", "exec"), scope)
    image = torch.rand(2, 3, size, size)
    with torch.inference_mode():
        ours = model.eval()(image)
        theirs = scope["network"]((image - 0.5) / 0.25)
    torch.testing.assert_close(theirs, ours, rtol=1e-4, atol=1e-5)


def test_ten_lines_load_a_model_of_torchvision():
    text = snippet(
        {"architecture": "resnet50", "image_size": 224, "resolution": "native",
         "native_short_side": 256, "mean": [0.5] * 3, "std": [0.25] * 3}
    )  # fmt: skip
    import ast

    body = ast.parse(text).body[1:]  # without its docstring
    own = [one for one in body if not isinstance(one, ast.Import | ast.ImportFrom)]
    assert len(own) <= 10


# Where a model errs


def made_predictions():
    rng = np.random.default_rng(1)
    return Predictions(np.arange(50), rng.integers(0, 4, 50), rng.normal(size=(50, 4)) * 3)


def test_losses_and_confusions_are_those_of_scikit_learn():
    said = made_predictions()
    expected = confusion_matrix(said.labels, said.predicted, labels=range(4))
    assert np.array_equal(confusion(said), expected)
    shares = torch.softmax(torch.as_tensor(said.logits), 1).numpy()
    assert losses(said).mean() == pytest.approx(log_loss(said.labels, shares, labels=range(4)))


def test_the_most_wrong_images_are_wrong_and_fall_in_loss():
    said = made_predictions()
    worst = most_wrong(said, 10)
    assert len(worst) == 10
    assert (said.predicted[worst] != said.labels[worst]).all()
    assert (np.diff(losses(said)[worst]) <= 0).all()
    others = np.setdiff1d(np.flatnonzero(said.predicted != said.labels), worst)
    assert losses(said)[others].max() <= losses(said)[worst].min()


def test_a_recommendation_of_another_study_is_refused():
    run = {"source": "s", "architecture": "a", "norm": "l2", "mode": "full", "epsilon": 0.1,
           "validation_accuracy": 0.5}  # fmt: skip
    row = {key: str(run[key]) for key in ("source", "architecture", "norm", "mode", "epsilon")}
    better = run | {"validation_accuracy": 0.7}
    assert choose_run(row, [run, better, run | {"epsilon": 1.0}], where="x") == 1
    with pytest.raises(DataError, match="no transfer of this study"):
        choose_run(row | {"epsilon": "3"}, [run], where="x")


# The words of the command line


def test_images_without_their_folder_are_asked_for():
    with pytest.raises(ConfigError, match="--config data=/path/to/folder"):
        expand_shorthand({"my_images": {}})


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match="no folder"):
        expand_shorthand({"my_images": {}, "data": str(tmp_path / "absent")})


def test_a_path_in_a_study_with_datasets_of_its_own_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"studies/my_images\.yaml"):
        expand_shorthand({"data": str(tmp_path)})


def test_a_folder_with_a_split_of_its_own_keeps_it(tmp_path):
    template = {"test_fraction": 0.3, "split_seed": 0, "metric": "top1"}
    made = expand_shorthand({"my_images": template, "data": str(tmp_path)})
    assert made["data"]["datasets"][0]["test_fraction"] == 0.3
    for name in ("train", "val"):
        (tmp_path / name).mkdir()
    made = expand_shorthand({"my_images": template, "data": str(tmp_path)})
    assert "test_fraction" not in made["data"]["datasets"][0]


def test_a_study_without_backbones_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="finished study"):
        expand_shorthand({"backbones": str(tmp_path)})


def test_a_file_that_is_no_backbone_is_refused(tmp_path):
    path = tmp_path / "pretrain" / "x" / "weights.safetensors"
    path.parent.mkdir(parents=True)
    safetensors.torch.save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(ConfigError, match="no backbone of this workflow"):
        expand_shorthand({"backbones": str(tmp_path)})


def test_an_audit_of_a_study_that_exports_a_model_passes(answered, finished_study):
    done = snakemake(
        answered,
        "audit",
        "--config", f"data={answered / 'my photos'}", f"backbones={finished_study}/results/tiny",
        study=QUICK,
    )  # fmt: skip
    assert done.code == 0, done.said
    judged = json.loads((answered / "results/my_images/audit/audit.json").read_text("utf-8"))
    wrong = [check for check in judged["checks"] if check["status"] == "FAIL"]
    assert wrong == []
