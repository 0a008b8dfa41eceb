"""One detector of a study: what its job writes, alone and on several GPUs."""

import json
import sys

import numpy as np
import pytest
from detection_subjects import RECIPE, SETTINGS, pretrained, toy_scenes
from robust_transfer.backbones.weights import save_backbone
from robust_transfer.detection.cell import train_cell, train_cell_on
from robust_transfer.detection.detections import load_detections
from robust_transfer.detection.score import image_weights
from robust_transfer.errors import ConfigError
from robust_transfer.training.torchrun import ProcessFailedError

BUILT = {key: value for key, value in SETTINGS.items() if key != "seed"}


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    toy_scenes(folder)
    return folder


def settings(folder, architecture="resnet_small_w4", **changes):
    folder.mkdir(exist_ok=True)
    header = {"name": "x", "architecture": architecture, "source": "letters", "norm": "l2",
              "epsilon": 0.1, "seed": 3, "image_size": 32}  # fmt: skip
    save_backbone(folder / "weights.safetensors", pretrained(architecture), header)
    outputs = {"detections": str(folder / "detections.npz"), "history": str(folder / "history.csv"),
               "about": str(folder / "detector.json")}  # fmt: skip
    given = {"weights": str(folder / "weights.safetensors"), "detector": "faster_rcnn_small",
             "built": BUILT, "recipe": RECIPE | {"steps": 3}, "dataset": "scenes", "seed": 1,
             "outputs": outputs, "code": "0"}  # fmt: skip
    return given | changes


def test_a_cell_writes_detections_history_and_what_it_took_and_no_state_stays(scenes, tmp_path):
    train_cell(scenes=str(scenes), **settings(tmp_path))
    found = load_detections(tmp_path / "detections.npz")
    assert found.scored.tolist() == [10, 11, 12, 13]  # the test images
    said = json.loads((tmp_path / "detector.json").read_text())
    assert said["images_through_network"] == 3 * 4 + 4
    assert (said["backbone"], said["pretrain_seed"], said["transfer_seed"]) == ("x", 3, 1)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"detector.json", "detections.npz", "history.csv", "weights.safetensors"}


@pytest.mark.skipif(sys.platform != "linux", reason="processes end with their parent on Linux")
def test_two_gpus_are_two_processes_and_one_of_them_writes(scenes, tmp_path, capfd):
    """Without CUDA the processes compute on the CPU, with gloo."""
    train_cell_on(2, scenes=scenes, **settings(tmp_path))
    assert json.loads((tmp_path / "detector.json").read_text())["processes"] == 2
    found = load_detections(tmp_path / "detections.npz")
    assert found.scored.tolist() == [10, 11, 12, 13]
    assert np.isfinite(found.boxes).all()


def test_a_process_that_fails_says_why_and_writes_nothing(scenes, tmp_path, capfd):
    wrong = settings(tmp_path, detector="mask_rcn")
    with pytest.raises(ProcessFailedError, match="2 processes"):
        train_cell_on(2, scenes=scenes, **wrong)
    assert not (tmp_path / "detections.npz").exists()


def test_a_backbone_without_stages_is_refused_before_training(scenes, tmp_path):
    with pytest.raises(ConfigError, match="ShuffleNetV2 cannot carry a detector"):
        train_cell(scenes=str(scenes), **settings(tmp_path, "shufflenet_v2_x0_5"))


def test_resamples_of_images_have_as_many_images_and_repeat_with_their_seed():
    weights = image_weights(7, 50, 3)
    assert weights.shape == (50, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert np.array_equal(weights, image_weights(7, 50, 3))
    assert not np.array_equal(weights, image_weights(7, 50, 4))
