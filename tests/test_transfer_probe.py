"""The probe is the minimum that scikit-learn finds, for many penalties, chunked or whole."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.transfer.probe import _Problem, fit_probes
from robust_transfer.transfer.probe_memory import SEARCH_BYTES, probe_bytes, samples_at_once
from robust_transfer.transfer.sample import Sample, plain_sample
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression

SCRIPTS = Path(__file__).parents[1] / "workflow_scripts"
PENALTIES = [1e-1, 1e-2, 1e-3]


def drawn(n, width, classes, seed=0):
    """Features whose class means differ by about their spread, and that are correlated."""
    rng = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), rng.integers(classes, size=n - classes)])
    mixing = rng.normal(size=(width, width)) / width**0.5
    x = (rng.normal(size=(n, width)) + 1.5 * rng.normal(size=(classes, width))[labels]) @ mixing
    return x, labels


def real():
    """Pixels of real scanned digits, standardised; three pixels are constant."""
    pixels, labels = load_digits(return_X_y=True)
    return (pixels - pixels.mean(0)) / np.maximum(pixels.std(0), 1e-9), labels


def pairs():
    """Pixels of two real digits side by side, 100 classes, standardised."""
    pixels, labels = real()
    rng = np.random.default_rng(0)
    one, two = (rng.permutation(len(labels)) for _ in range(2))
    return np.hstack([pixels[one], pixels[two]]), 10 * labels[one] + labels[two]


def features_of_a_trained_network():
    """What a small network, trained on half of those digits, makes of the others."""
    pixels, labels = load_digits(return_X_y=True)
    images = torch.tensor(pixels.reshape(-1, 1, 8, 8) * (255 / 16)).byte().expand(-1, 3, -1, -1)
    images = images.contiguous(memory_format=torch.channels_last)
    backbone = make_backbone("resnet_small_w4", classes=10, image_size=16, mean=[0.5] * 3,
                             std=[0.25] * 3, seed=0)  # fmt: skip
    optimiser = torch.optim.SGD(backbone.parameters(), lr=0.1, momentum=0.9)
    for rows in torch.arange(0, 896).split(64) * 3:
        optimiser.zero_grad()
        wanted = torch.tensor(labels)[rows]
        torch.nn.functional.cross_entropy(backbone(images[rows] / 255), wanted).backward()
        optimiser.step()
    with torch.no_grad():
        features = backbone.eval().features(images[896:] / 255).double().numpy()
    return (features - features.mean(0)) / np.maximum(features.std(0), 1e-9), labels[896:]


def loss_of(weight, bias, x, labels, penalty):
    """The objective, in float64, written out."""
    logits = x @ weight + bias
    top = logits.max(1)
    log_total = top + np.log(np.exp(logits - top[:, None]).sum(1))
    fit = (log_total - logits[np.arange(len(x)), labels]).mean()
    return fit + penalty / 2 * (weight**2).sum()


def by_scikit_learn(x, labels, penalty):
    """Weights and bias of the same problem: C is 1 / (n * penalty)."""
    model = LogisticRegression(C=1 / (len(x) * penalty), tol=1e-9, max_iter=20_000)
    model.fit(x, labels)
    if len(model.classes_) > 2:
        return model.coef_.T, model.intercept_
    # With two classes scikit-learn fits one vector w; the softmax form with the same predictions
    # and the least norm is (-w/2, w/2), whose penalty is half as large: so C is doubled.
    model = LogisticRegression(C=2 / (len(x) * penalty), tol=1e-9, max_iter=20_000)
    model.fit(x, labels)
    half = model.coef_.T / 2
    return np.hstack([-half, half]), np.hstack([-model.intercept_ / 2, model.intercept_ / 2])


def fitted(x, labels, **how):
    """The probes of one set of images."""
    return fit_probes([plain_sample(torch.as_tensor(x), torch.as_tensor(labels))], **how)


@pytest.mark.parametrize(
    ("x", "labels"),
    [
        drawn(300, 20, 2),
        drawn(400, 30, 5),
        drawn(1200, 25, 40),
        drawn(1600, 12, 400),
        real(),
        pairs(),
        features_of_a_trained_network(),
    ],
    ids=[
        "2 classes",
        "5 classes",
        "40 classes",
        "400 classes",
        "real images",
        "real images, 100 classes",
        "features",
    ],
)
def test_loss_and_predictions_are_those_of_scikit_learn(x, labels):
    classes = int(labels.max()) + 1
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    probes = fitted(x, labels, classes=classes, penalties=penalties)
    for place, penalty in enumerate(PENALTIES):
        weight, bias = by_scikit_learn(x, labels, penalty)
        least = loss_of(weight, bias, x, labels, penalty)
        mine = probes.weight[0, place].numpy()
        found = loss_of(mine[:-1], mine[-1], x, labels, penalty)
        assert found == pytest.approx(float(probes.loss[0, place]), rel=1e-12)
        assert abs(found - least) <= 1e-6 * least
        same = (x @ mine[:-1] + mine[-1]).argmax(1) == (x @ weight + bias).argmax(1)
        assert same.mean() >= 0.999


def test_seeds_fitted_together_are_each_that_of_scikit_learn():
    """Each with images, a mean and a spread of its own, out of one matrix, and its own penalty."""
    x, labels = drawn(500, 15, 6)
    features, rng = torch.tensor(x).float(), np.random.default_rng(0)
    samples, penalties = [], torch.tensor([[0.3], [0.01], [0.001]], dtype=torch.float64)
    for _ in penalties:
        rows = torch.tensor(rng.choice(500, 300, replace=False))
        mean, std = features[rows].mean(0), features[rows].std(0)
        samples.append(Sample(features, rows, torch.tensor(labels)[rows], mean, std))
    probes = fit_probes(samples, classes=6, penalties=penalties)
    for place, sample in enumerate(samples):
        own = ((features[sample.rows] - sample.mean) / sample.std).double().numpy()
        weight, bias = by_scikit_learn(own, sample.labels.numpy(), float(penalties[place]))
        least = loss_of(weight, bias, own, sample.labels.numpy(), float(penalties[place]))
        assert float(probes.loss[place, 0]) == pytest.approx(least, rel=1e-6)
        said = probes.logits(place, sample, torch.arange(500))[0].argmax(1).numpy()
        everything = ((features - sample.mean) / sample.std).double().numpy()
        assert (said == (everything @ weight + bias).argmax(1)).mean() >= 0.999


def test_seeds_need_not_take_equally_many_steps():
    """One of them is solved at once; the other goes on as if it were alone."""
    x, labels = (torch.tensor(each) for each in drawn(200, 8, 3))
    penalties = torch.tensor([[1e4], [1e-3]], dtype=torch.float64)
    both = fit_probes([plain_sample(x, labels)] * 2, classes=3, penalties=penalties)
    alone = fitted(x, labels, classes=3, penalties=penalties[1:])
    assert int(both.iterations[0, 0]) < int(both.iterations[1, 0])
    assert abs(int(both.iterations[1, 0]) - int(alone.iterations)) <= 3  # but for rounding
    torch.testing.assert_close(both.loss[1], alone.loss[0], rtol=2e-7, atol=0)


@pytest.mark.parametrize("chunk_bytes", [1, 20_000])
def test_chunks_of_several_seeds_give_what_the_whole_gives(chunk_bytes):
    sets = [drawn(120, 6, 4, seed) for seed in range(3)]
    samples = [plain_sample(*map(torch.tensor, each)) for each in sets]
    how = {"classes": 4, "penalties": torch.tensor(PENALTIES, dtype=torch.float64)}
    whole, parts = fit_probes(samples, **how), fit_probes(samples, **how, chunk_bytes=chunk_bytes)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-6, atol=1e-7)


def test_as_many_seeds_are_fitted_at_once_as_the_memory_for_the_search_holds():
    assert samples_at_once(64, 10, 3) > 1000
    wide = samples_at_once(2048, 397, 4)
    one = probe_bytes(1, 2048, 397, 4, samples=1)
    assert (wide - 1) * (probe_bytes(1, 2048, 397, 4, samples=2) - one) <= SEARCH_BYTES
    assert 1 < wide < 10
    assert samples_at_once(2**20, 1000, 10) == 1  # whatever it takes


@settings(max_examples=20, deadline=None)
@given(st.integers(2, 6), st.integers(1, 8), st.integers(0, 1000))
def test_the_gradient_is_that_of_autograd(classes, width, seed):
    x, labels = drawn(classes + 15, width, classes, seed)
    penalties = torch.tensor([0.3, 0.01], dtype=torch.float64)
    sample = plain_sample(torch.tensor(x), torch.tensor(labels))
    problem = _Problem([sample], classes, penalties, 2**20)
    generator = torch.Generator().manual_seed(seed)
    theta = torch.randn(2, classes * (width + 1), generator=generator, dtype=torch.float64)
    loss, gradient = problem(theta)
    free = theta.clone().requires_grad_(True)
    weight = free.view(2, classes, width + 1).mT
    logits = torch.tensor(x) @ weight[:, :-1] + weight[:, -1:]
    fit = torch.stack([torch.nn.functional.cross_entropy(one, torch.tensor(labels))
                       for one in logits])  # fmt: skip
    whole = fit + penalties / 2 * weight[:, :-1].square().sum((1, 2))
    whole.sum().backward()
    torch.testing.assert_close(loss, whole.detach())
    torch.testing.assert_close(gradient, free.grad)


@pytest.mark.parametrize("chunk_bytes", [1, 5_000, 40_000])
def test_chunks_of_any_size_give_what_the_whole_gives(chunk_bytes):
    x, labels = (torch.tensor(each) for each in drawn(200, 10, 7))
    settings_ = {"classes": 7, "penalties": torch.tensor(PENALTIES, dtype=torch.float64)}
    whole = fitted(x, labels, **settings_)
    parts = fitted(x, labels, **settings_, chunk_bytes=chunk_bytes)
    torch.testing.assert_close(parts.weight, whole.weight, rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(parts.loss, whole.loss, rtol=1e-10, atol=0)


def test_chunks_bound_the_memory_whatever_the_number_of_images():
    few, many = (probe_bytes(n, 2048, 100, 4) for n in (75_000, 75_000_000))
    assert few == many <= 2.5 * 2**30
    assert probe_bytes(100, 2048, 100, 4) < few


#: How jobs ask for memory (rules/common.smk), which leaves the most holes.
AS_JOBS = {"MALLOC_MMAP_THRESHOLD_": "1000000000", "MALLOC_TRIM_THRESHOLD_": "10000000000"}
GROWTH = """
import re, torch
from pathlib import Path
from robust_transfer.transfer.probe import fit_probes
from robust_transfer.transfer.probe_memory import probe_bytes
from robust_transfer.transfer.sample import plain_sample

def memory(kind):  # of this process, in bytes
    return 1024 * int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

n, width, classes, penalties, samples, chunk_bytes = {problem}
torch.set_num_threads(1)
torch.linalg.eigh(torch.eye(9, dtype=torch.float64))  # loads the library
images = [plain_sample(torch.randn(n, width), torch.arange(n) % classes)] * samples
Path("/proc/self/clear_refs").write_text("5")  # forget the highest so far
before = memory("VmRSS")
fit_probes(images, classes=classes, penalties=torch.logspace(-3, 0, penalties),
           chunk_bytes=chunk_bytes, max_iterations=2)
print(memory("VmHWM") - before, probe_bytes(n, width, classes, penalties, samples, chunk_bytes))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize(
    "problem",
    [(40_000, 500, 20, 2, 1, 2**26), (20_000, 300, 100, 4, 1, 2**26),
     (20_000, 500, 20, 2, 1, 2**30), (4_000, 2048, 10, 1, 1, 2**26),
     (20_000, 300, 50, 3, 3, 2**26), (8_000, 500, 20, 2, 3, 2**30)],
    ids=["chunks", "chunks of logits", "one chunk", "wide features", "chunks of three seeds",
         "one chunk of three seeds"],
)  # fmt: skip
def test_a_fit_takes_no_more_memory_than_it_stated(problem):
    done = subprocess.run(
        [sys.executable, "-c", GROWTH.format(problem=problem)],
        env=os.environ | AS_JOBS | {"PYTHONPATH": str(SCRIPTS)}, capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    grown, stated = map(int, done.stdout.split())
    assert 0.3 * stated < grown <= stated


PROBING = """
import json, re, torch, types
from pathlib import Path
import numpy as np
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.transfer.features import Passes
from robust_transfer.transfer import fixed, kept_features
from robust_transfer.transfer.target import Target

def memory(kind):
    return 1024 * int(re.search(kind + r":\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

class Drawn:
    plain, views, reading, peak_memory_bytes = Passes(1, 1.0), Passes(1, 1.0), 0.0, 0
    width = {width}
    def of(self, rows):
        return torch.randn(len(rows), self.width)
    def of_view(self, rows, seed, view):
        return self.of(rows)

torch.set_num_threads(1)
torch.linalg.eigh(torch.eye(9, dtype=torch.float64))  # loads the library
n_train, n_test, classes = {n_train}, {n_test}, {classes}
labels = torch.arange(n_train + n_test) % classes
data = Target(torch.zeros(0, 3, 8, 8), labels, n_train, classes, "top1")
backbone = make_backbone("resnet_small_w4", classes=2, image_size=8, mean=[0.5] * 3, std=[0.2] * 3,
                         seed=0)
recipe = dict(penalties=[0.1, 1.0], augmented_views=1, augmentation="none", validation_fraction=0.2)
source, folder = Drawn(), {folder!r}
if folder:
    rows = n_train + n_test + 2 * n_train
    file = np.lib.format.open_memmap(folder + "/f.npy", "w+", np.float32, (rows, Drawn.width))
    for start in range(0, rows, 1000):
        file[start : start + 1000] = np.random.randn(min(1000, rows - start), Drawn.width)
    del file
    about = dict(backbone="b", width=Drawn.width, images=n_train + n_test, training_images=n_train,
                 seeds=[0, 1], augmented_views=1, augmentation="none", peak_memory_bytes=0,
                 plain=dict(images=1, seconds=1.0), views=dict(images=1, seconds=1.0),
                 reading=dict(seconds=1.0))
    Path(folder, "f.json").write_text(json.dumps(about))
    stand_in = types.SimpleNamespace(feature_dim=Drawn.width)
    source = kept_features.Kept(folder + "/f.json", data, recipe, stand_in, "b")
real = fixed.fit_probes
fixed.fit_probes = lambda *given, **how: real(*given, **how, max_iterations=2)
Path("/proc/self/clear_refs").write_text("5")
before = memory("VmRSS")
list(fixed.Probing(backbone, data, recipe, source).outcomes([0, 1]))
print(memory("VmHWM") - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads the memory of a process from /proc")
@pytest.mark.parametrize(
    ("n_train", "n_test", "width", "classes", "kept"),
    [(40, 30_000, 1024, 2, False), (20_000, 20_000, 512, 5, False), (5_000, 5_000, 2048, 10, False),
     (20_000, 20_000, 512, 5, True)],
    ids=["mostly test images", "as many", "wide features", "features on disk"],
)  # fmt: skip
def test_a_whole_transfer_takes_no_more_memory_than_its_log_states(
    tmp_path, n_train, n_test, width, classes, kept
):
    folder = str(tmp_path) if kept else ""
    script = PROBING.format(
        n_train=n_train, n_test=n_test, width=width, classes=classes, folder=folder
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=os.environ | AS_JOBS | {"PYTHONPATH": str(SCRIPTS)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    stated = int(re.search(r"at most (\d+) MiB", done.stderr)[1]) * 2**20
    assert 0.3 * stated < int(done.stdout) <= stated


def test_one_probe_of_several_is_the_probe_fitted_alone():
    x, labels = (torch.tensor(each) for each in drawn(150, 8, 4))
    together = fitted(x, labels, classes=4, penalties=torch.tensor(PENALTIES, dtype=torch.float64))
    for place, penalty in enumerate(PENALTIES):
        alone = fitted(x, labels, classes=4, penalties=torch.tensor([penalty]))
        assert float(alone.loss) == pytest.approx(float(together.loss[0, place]), rel=2e-7)


def test_a_start_near_the_end_saves_steps_and_ends_in_the_same_place():
    x, labels = (torch.tensor(each) for each in drawn(400, 15, 6))
    settings_ = {"classes": 6, "penalties": torch.tensor([1e-3])}
    near = fitted(x[:360], labels[:360], **settings_)
    cold = fitted(x, labels, **settings_)
    warm = fitted(x, labels, **settings_, start=near.weight)
    assert warm.iterations < cold.iterations
    torch.testing.assert_close(warm.loss, cold.loss, rtol=2e-7, atol=0)


def test_constant_features_are_ignored_and_only_class_frequencies_are_learned():
    labels = torch.tensor([0] * 30 + [1] * 10)
    probes = fitted(torch.zeros(40, 3), labels, classes=2, penalties=torch.tensor([0.01]))
    one = plain_sample(torch.zeros(1, 3), labels[:1])
    shares = probes.logits(0, one, torch.tensor([0])).softmax(2).squeeze()
    torch.testing.assert_close(shares, torch.tensor([0.75, 0.25], dtype=torch.float64),
                               atol=1e-4, rtol=0)  # fmt: skip
    assert float(probes.weight[0, 0, :-1].abs().max()) == 0


def test_what_cannot_be_fitted_is_refused():
    labels = torch.tensor([0, 1])
    with pytest.raises(ValueError, match="not finite"):
        fitted(torch.tensor([[1.0], [float("inf")]]), labels, classes=2,
               penalties=torch.tensor([1.0]))  # fmt: skip
    with pytest.raises(ValueError, match="above 0"):
        fitted(torch.ones(2, 1), labels, classes=2, penalties=torch.tensor([0.0]))
    with pytest.raises(ValueError, match=r"samples of \[2, 3\] images: expected equally many"):
        fit_probes([plain_sample(torch.ones(n, 1), torch.zeros(n)) for n in (2, 3)], classes=2,
                   penalties=torch.tensor([1.0]))  # fmt: skip


def test_the_same_fit_twice_gives_the_same_bytes():
    x, labels = (torch.tensor(each) for each in drawn(300, 10, 5))
    penalties = torch.tensor(PENALTIES, dtype=torch.float64)
    one, two = (fitted(x, labels, classes=5, penalties=penalties) for _ in range(2))
    assert one.weight.numpy().tobytes() == two.weight.numpy().tobytes()
