"""Checkpoints of others: the same logits bit for bit, and nothing that they hold is run."""

import json
import os
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch
from robust_transfer.backbones.addresses import torchvision_address
from robust_transfer.backbones.architectures import make_backbone
from robust_transfer.backbones.backbone import Backbone
from robust_transfer.backbones.checkpoints import backbone_of, read_checkpoint
from robust_transfer.backbones.importing import import_backbone
from robust_transfer.backbones.weights import load_backbone, save_backbone
from robust_transfer.config.released import released_models
from robust_transfer.errors import DataError
from robust_transfer.images.build import build_cache
from robust_transfer.images.cache import load_cache
from robust_transfer.training.score import evaluate_backbone
from torch import nn

PAPER = ("resnet18", "resnet50", "wide_resnet50_2", "wide_resnet50_4", "densenet161",
         "mnasnet1_0", "mobilenet_v2", "resnext50_32x4d", "shufflenet_v2_x1_0",
         "vgg16_bn")  # fmt: skip
MEAN, STD = [0.4, 0.5, 0.6], [0.2, 0.3, 0.25]
IMAGES = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def known_backbone(architecture, classes=3):
    """A network of quickly drawn weights: drawing them as its authors do takes seconds."""
    model = make_backbone(
        architecture, classes=classes, image_size=32, mean=MEAN, std=STD, seed=None
    )
    generator = torch.Generator().manual_seed(1)
    for name, value in model.network_state().items():
        if name.endswith("num_batches_tracked"):
            value.zero_()
        elif value.ndim == 1:  # biases, BatchNorm's scales and variances: all near 1
            value.uniform_(0.9, 1.1, generator=generator)
        else:
            value.uniform_(-0.03, 0.03, generator=generator)
    return model.eval()


class Wrapped(nn.Module):
    """The `robustness` library's model: network, normaliser, and an attacker that holds both."""

    def __init__(self, network: nn.Module, twice: bool) -> None:
        super().__init__()
        self.normalizer = Normaliser()
        self.model = Dummy(network) if twice else network
        self.attacker = nn.Module()
        self.attacker.normalize = Normaliser()
        self.attacker.model = self.model


class Normaliser(nn.Module):
    """Buffers as InputNormalize of the library has them."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("new_mean", torch.tensor(MEAN)[..., None, None])
        self.register_buffer("new_std", torch.tensor(STD)[..., None, None])


class Dummy(nn.Module):
    """What the six further architectures are wrapped in once more."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.model = network


def robustness_checkpoint(model, twice=False):
    """What the library saves, of a backbone of known logits."""
    model.body.set_submodule(model.head_name, model.head)
    network = nn.DataParallel(Wrapped(model.body, twice))
    network.device_ids = []
    content = {"model": network.state_dict(), "optimizer": {"state": {}}, "epoch": 90}
    model.body.set_submodule(model.head_name, nn.Identity())
    return content


@pytest.mark.parametrize("architecture", PAPER)
def test_every_network_of_the_paper_has_its_head_apart_and_replaceable(architecture):
    with torch.device("meta"):  # shapes alone: no weights, no time
        from robust_transfer.backbones.architectures import _network

        model = Backbone(_network(architecture, 1000, 224), mean=MEAN, std=STD).eval()
        features = model.features(torch.empty(2, 3, 224, 224))
        assert features.shape == (2, model.feature_dim)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 1000)
        model.replace_head(7)
        assert model(torch.empty(2, 3, 224, 224)).shape == (2, 7)
        linear = [each for each in model.modules() if isinstance(each, nn.Linear)]
        assert len(linear) == (3 if architecture == "vgg16_bn" else 1)


@pytest.mark.parametrize("architecture", PAPER)
def test_a_robustness_checkpoint_gives_the_same_logits_bit_for_bit(architecture, tmp_path):
    model = known_backbone(architecture)
    with torch.inference_mode():
        expected = model(IMAGES)
    twice = architecture not in PAPER[:4]
    torch.save(robustness_checkpoint(model, twice), tmp_path / "model.ckpt")
    checkpoint = read_checkpoint(tmp_path / "model.ckpt")
    assert checkpoint.form == "robustness, DataParallel, wrapped" + ", wrapped" * twice
    imported = backbone_of(checkpoint, architecture, image_size=32)
    assert imported.mean.flatten().tolist() == pytest.approx(MEAN)
    with torch.inference_mode():
        assert torch.equal(imported(IMAGES), expected)
    assert bool(torch.isfinite(expected).all())
    (tmp_path / "model.ckpt").unlink()


def plain_state(model):
    return dict(model.network_state())


@pytest.mark.parametrize("form", ["bare", "state_dict", "DataParallel", "model.", "safetensors"])
def test_plain_states_are_read_in_all_their_spellings(form, tmp_path):
    from safetensors.torch import save_file

    model = known_backbone("resnet18")
    state = plain_state(model)
    prefix = {"DataParallel": "module.", "model.": "model."}.get(form, "")
    state = {prefix + key: value.contiguous() for key, value in state.items()}
    path = tmp_path / ("x.safetensors" if form == "safetensors" else "x.pth")
    if form == "safetensors":
        save_file(state, path)
    else:
        torch.save({"state_dict": state, "epoch": 1} if form == "state_dict" else state, path)
    imported = backbone_of(read_checkpoint(path), "resnet18", image_size=32, mean=MEAN, std=STD)
    with torch.inference_mode():
        assert torch.equal(imported(IMAGES), model(IMAGES))


def test_without_a_normaliser_the_statistics_of_imagenet_are_taken(tmp_path):
    torch.save(plain_state(known_backbone("resnet18")), tmp_path / "x.pth")
    imported = backbone_of(read_checkpoint(tmp_path / "x.pth"), "resnet18", image_size=32)
    assert imported.mean.flatten().tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_an_old_densenet_spelling_and_a_missing_count_of_batches_are_understood(tmp_path):
    model = known_backbone("densenet161")
    state = {key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2."): value
             for key, value in plain_state(model).items()
             if not key.endswith("num_batches_tracked")}  # fmt: skip
    torch.save(state, tmp_path / "x.pth")
    imported = backbone_of(read_checkpoint(tmp_path / "x.pth"), "densenet161", image_size=32,
                           mean=MEAN, std=STD)  # fmt: skip
    with torch.inference_mode():
        assert torch.equal(imported(IMAGES), model(IMAGES))


# What is refused


class Hostile:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


def hostile_checkpoint(tmp_path):
    model = known_backbone("resnet18")
    content = robustness_checkpoint(model) | {"schedule": Hostile(tmp_path / "was_run")}
    torch.save(content, tmp_path / "hostile.ckpt")
    return model, tmp_path / "hostile.ckpt"


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path):
    _, path = hostile_checkpoint(tmp_path)
    with pytest.raises(DataError, match=r"asks for posix\.system; it was not run.*\n.*unpickle"):
        read_checkpoint(path)
    assert not (tmp_path / "was_run").exists()


def test_even_opted_in_a_hostile_pickle_gives_its_tensors_and_does_not_run(tmp_path):
    model, path = hostile_checkpoint(tmp_path)
    imported = backbone_of(read_checkpoint(path, unpickle=True), "resnet18", image_size=32)
    with torch.inference_mode():
        assert torch.equal(imported(IMAGES), model(IMAGES))
    assert not (tmp_path / "was_run").exists()


ATTEMPTS = (
    "open('x', 'w')", "__import__('os').mkdir('x')", "__import__('os').open('x', 65)",
    "__import__('os').system('touch x')", "__import__('subprocess').run(['touch', 'x'])",
    "__import__('socket').create_connection(('127.0.0.1', 9))",
)  # fmt: skip


def test_the_process_that_reads_pickles_can_neither_write_nor_reach_a_network(tmp_path):
    program = [
        "import sys",
        "from robust_transfer.backbones import inert",
        "sys.addaudithook(inert._refuse)",
        f"for attempt in {ATTEMPTS!r}:",
        "    try:",
        "        exec(attempt)",
        "    except PermissionError as error:",
        "        print(error)",
    ]
    done = subprocess.run([sys.executable, "-c", "\n".join(program)], cwd=tmp_path,
                          capture_output=True, text=True, check=True,
                          env={"PYTHONPATH": os.pathsep.join(sys.path)})  # fmt: skip
    assert done.stdout.count("is not allowed while a checkpoint is read") == len(ATTEMPTS)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", "no checkpoint, or it is damaged|holds more|asks for"),
     (b"<html>Sign in</html>", "no checkpoint, or it is damaged|holds more|asks for"),
     (pickle.dumps([1, 2]), "no checkpoint, or it is damaged|holds more|no state|asks for")],
)  # fmt: skip
def test_what_is_no_checkpoint_is_named(content, words, tmp_path):
    (tmp_path / "x.ckpt").write_bytes(content)
    with pytest.raises(DataError, match=rf"x\.ckpt.*({words})"):
        read_checkpoint(tmp_path / "x.ckpt")


def test_another_architecture_is_refused_with_the_tensors_that_do_not_fit(tmp_path):
    torch.save(plain_state(known_backbone("resnet18")), tmp_path / "x.pth")
    with pytest.raises(DataError, match=r"not a resnet50: .*and \d+ more"):
        backbone_of(read_checkpoint(tmp_path / "x.pth"), "resnet50", image_size=32)


def test_weights_that_are_not_finite_are_refused(tmp_path):
    state = plain_state(known_backbone("resnet18"))
    state["bn1.bias"][0] = torch.nan
    torch.save(state, tmp_path / "x.pth")
    with pytest.raises(DataError, match=r"bn1\.bias holds numbers that are not finite"):
        backbone_of(read_checkpoint(tmp_path / "x.pth"), "resnet18", image_size=32)


# The import as a whole


IDENTITY = {"name": "b", "architecture": "resnet18", "source": "imagenet", "norm": "l2",
            "epsilon": 3.0, "seed": 0}  # fmt: skip


def weights(**changes):
    standard = {"origin": "path", "path": "x", "url": None, "sha256": None, "unpickle": False,
                "mean": None, "std": None, "source_accuracy": 0.5312}  # fmt: skip
    return standard | changes


def outputs(tmp_path):
    return {"weights": str(tmp_path / "w.safetensors"), "record": str(tmp_path / "backbone.json"),
            "cost": str(tmp_path / "cost.json")}  # fmt: skip


def test_an_imported_backbone_is_one_of_ours_with_its_provenance(tmp_path):
    model = known_backbone("resnet18")
    torch.save(robustness_checkpoint(model), tmp_path / "x.ckpt")
    import_backbone(tmp_path / "x.ckpt", IDENTITY, weights(), image_size=32,
                    outputs=outputs(tmp_path))  # fmt: skip
    imported, header = load_backbone(tmp_path / "w.safetensors")
    with torch.inference_mode():
        assert torch.equal(imported(IMAGES), model(IMAGES))
    assert header["imported"]["form"].startswith("robustness")
    assert len(header["imported"]["sha256"]) == 64
    record = json.loads((tmp_path / "backbone.json").read_text())
    assert record["source_accuracy"] == 0.5312
    assert record["pretrain_seed"] == 0


def test_a_backbone_of_another_study_keeps_its_normalisation_and_input_size(tmp_path):
    model = known_backbone("resnet18")
    save_backbone(tmp_path / "ours.safetensors", model, IDENTITY | {"image_size": 48})
    import_backbone(tmp_path / "ours.safetensors", IDENTITY, weights(), image_size=224,
                    outputs=outputs(tmp_path))  # fmt: skip
    imported, header = load_backbone(tmp_path / "w.safetensors")
    assert header["image_size"] == 48
    assert torch.equal(imported.mean, model.mean)


def test_a_checkpoint_of_the_wrong_checksum_is_refused(tmp_path):
    torch.save(plain_state(known_backbone("resnet18")), tmp_path / "x.pth")
    with pytest.raises(DataError, match="another file, or a damaged one"):
        import_backbone(tmp_path / "x.pth", IDENTITY, weights(sha256="0" * 64), image_size=32,
                        outputs=outputs(tmp_path))  # fmt: skip


def test_torchvisions_weights_have_an_address_with_their_digest():
    assert torchvision_address("resnet18").endswith("resnet18-f37072fd.pth")


def test_the_released_models_are_the_67_of_the_paper_with_their_accuracies():
    models = released_models()
    assert len(models) == 67
    assert models["resnet50", "l2", 3.0].source_accuracy == 0.6283
    assert models["wide_resnet50_2", "linf", 4 / 255].file == "wide_resnet50_2_linf_eps4.0.ckpt"


def scored(tmp_path, published):
    """Import weights that came with an accuracy, and score them on their source."""
    model = make_backbone("resnet_small_w4", classes=12, image_size=32, mean=MEAN, std=STD, seed=0)
    torch.save(plain_state(model), tmp_path / "x.pth")
    identity = IDENTITY | {"architecture": "resnet_small_w4"}
    import_backbone(tmp_path / "x.pth", identity, weights(source_accuracy=published),
                    image_size=32, outputs=outputs(tmp_path))  # fmt: skip
    source = {"name": "letters", "kind": "toy", "alphabet": "letters", "size": 32, "n_train": 24,
              "n_test": 600, "seed": 0, "grating": 0}  # fmt: skip
    build_cache(source, "native", tmp_path / "cache", data_root=tmp_path, on_bad_image="stop")
    evaluate_backbone(
        tmp_path / "w.safetensors", outputs(tmp_path)["cost"], tmp_path / "cache",
        evaluation={"attack": "apgd", "attack_steps": 1, "relative_step_size": 1,
                    "epsilons": [0.1, 9.0], "images": 24},
        example_images=1, record=tmp_path / "scores.json", examples=tmp_path / "examples.npz",
        on_device_mb=1000,
    )  # fmt: skip
    return json.loads((tmp_path / "scores.json").read_text())


def test_the_accuracy_on_the_source_is_set_beside_the_published_one(tmp_path):
    record = scored(tmp_path, 1 / 12)
    assert record["published_accuracy"] == 1 / 12
    assert record["published_difference"] == pytest.approx(record["source_accuracy"] - 1 / 12)


def test_weights_far_from_their_published_accuracy_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"published is 62\.8%.*\n.*read amiss"):
        scored(tmp_path, 0.6283)


def test_weights_without_a_published_accuracy_are_scored_alone(tmp_path):
    assert "published_accuracy" not in scored(tmp_path, None)


def test_whether_each_attacked_image_still_stands_is_kept(tmp_path):
    record = scored(tmp_path, None)
    assert (record["attack"], record["n_attacked"]) == ("apgd", 24)
    with np.load(tmp_path / "examples.npz") as kept:
        labels = load_cache(tmp_path / "cache").labels[kept["stands rows"]]
        assert np.bincount(labels).tolist() == [2] * 12
        for name, share in record["source_robust_accuracy"].items():
            assert kept[f"stands epsilon {name}"].mean() == pytest.approx(share)
    assert record["source_robust_accuracy"]["9"] == 0
