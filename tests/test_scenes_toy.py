"""Toy scenes: same seed, same bytes; each by itself; balanced; boxes tight around what is seen."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from robust_transfer.errors import DataError
from robust_transfer.scenes.masks import decode
from robust_transfer.scenes.toy import toy_objects
from robust_transfer.toy_world.scenes import SceneRecipe, render_scene

LETTERS = {"alphabet": "letters", "size": 96, "objects": 3, "object_size": (20, 36), "seed": 0}


def recipe(**changes):
    return SceneRecipe(**(LETTERS | {"grating": 0} | changes))


@pytest.fixture(scope="module")
def scenes():
    return [render_scene(recipe(), 0, index) for index in range(120)]


def test_a_scene_can_be_rendered_by_itself(scenes):
    for index in (7, 119):
        alone = render_scene(recipe(), 0, index)
        np.testing.assert_array_equal(alone.image, scenes[index].image)
        np.testing.assert_array_equal(alone.masks, scenes[index].masks)
        np.testing.assert_array_equal(alone.labels, scenes[index].labels)


def test_bytes_do_not_depend_on_the_process():
    code = (
        "import hashlib; from robust_transfer.toy_world.scenes import SceneRecipe, render_scene;"
        f"scene = render_scene(SceneRecipe(**{LETTERS}, grating=0.4), 1, 5);"
        "print(hashlib.sha256(scene.image.tobytes() + scene.masks.tobytes()).hexdigest())"
    )
    library = Path(__file__).parents[1] / "workflow_scripts"
    said = subprocess.run([sys.executable, "-c", code], env={"PYTHONPATH": str(library)},
                          capture_output=True, text=True, check=True)  # fmt: skip
    here = render_scene(recipe(grating=0.4), 1, 5)
    digest = hashlib.sha256(here.image.tobytes() + here.masks.tobytes()).hexdigest()
    assert said.stdout.strip() == digest


@pytest.mark.parametrize("change", [{"seed": 1}, {"alphabet": "cyrillic"}, {"size": 97}])
def test_another_recipe_or_split_gives_other_scenes(scenes, change):
    assert not np.array_equal(render_scene(recipe(**change), 0, 0).image, scenes[0].image)
    assert not np.array_equal(render_scene(recipe(), 1, 0).image, scenes[0].image)


def test_classes_are_balanced_over_the_objects(scenes):
    """120 scenes of 1, 2 or 3 objects, each as often: 240 objects, 20 of each of 12 letters."""
    counts = np.bincount([len(scene.labels) for scene in scenes])
    assert counts.tolist() == [0, 40, 40, 40]
    labels = np.concatenate([scene.labels for scene in scenes])
    assert np.bincount(labels).tolist() == [20] * 12


def test_boxes_are_tight_around_the_visible_pixels(scenes):
    for scene in scenes[:40]:
        objects = toy_objects(scene)
        for mask, (x0, y0, x1, y1), area in zip(
            decode(objects.masks, (96, 96)), objects.boxes.astype(int), objects.areas, strict=True
        ):
            y, x = np.nonzero(mask)
            assert (x0, y0, x1, y1) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
            assert area == len(y)
    assert objects.boxes.dtype == np.float32


def test_a_pixel_belongs_to_one_object(scenes):
    assert max(scene.masks.sum(axis=0).max() for scene in scenes) == 1


def test_boxes_overlap_little(scenes):
    shares = []
    for scene in scenes:
        boxes = toy_objects(scene).boxes.astype(int)
        painted = np.zeros((96, 96), int)
        for x0, y0, x1, y1 in boxes:
            painted[y0:y1, x0:x1] += 1
        shares.append((painted > 1).sum() / (painted > 0).sum())
    assert np.mean(shares) < 0.01
    assert max(shares) < 0.2


def test_heights_are_those_asked_for(scenes):
    boxes = np.concatenate([toy_objects(scene).boxes for scene in scenes])
    heights = boxes[:, 3] - boxes[:, 1]
    assert heights.min() >= 18  # turning and faces change a capital's height a little
    assert heights.max() <= 36 * 1.25
    assert heights.max() > 1.6 * heights.min()


def test_objects_differ_in_colour_from_their_surroundings(scenes):
    """The mean colour in the mask is not that of its box's other pixels."""
    apart = []
    for scene in scenes:
        for mask, (x0, y0, x1, y1) in zip(
            scene.masks, toy_objects(scene).boxes.astype(int), strict=True
        ):
            window, inside = scene.image[y0:y1, x0:x1].astype(float), mask[y0:y1, x0:x1]
            apart.append(np.abs(window[inside].mean(axis=0) - window[~inside].mean(axis=0)).max())
    assert np.quantile(apart, 0.05) > 15


def test_the_grating_is_added_in_the_boxes_alone():
    plain, striped = (render_scene(recipe(grating=norm), 0, 2) for norm in (0, 0.4))
    change = striped.image.astype(float) - plain.image
    np.testing.assert_array_equal(plain.masks, striped.masks)
    inside = np.zeros((96, 96), bool)
    for x0, y0, x1, y1 in toy_objects(plain).boxes.astype(int):
        inside[y0 - 3 : y1 + 3, x0 - 3 : x1 + 3] = True  # half ink is within a pixel or two
    assert not change[~inside].any()
    norm = np.sqrt((change**2).sum() / len(plain.labels)) / 255
    assert norm == pytest.approx(0.4, rel=0.15)  # rounded to grey levels


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"objects": 0}, "objects: 0"),
        ({"object_size": (36, 20)}, "object_size"),
        ({"object_size": (4, 20)}, "at least 8"),
        ({"size": 60}, "no room"),
        ({"objects": 12}, "no room"),
        ({"alphabet": "leters"}, "Did you mean 'letters'"),
        ({"alphabet": "accents", "object_size": (8, 9), "grating": 0.4}, "different gratings"),
    ],
)
def test_recipes_that_cannot_be_rendered_are_refused(change, words):
    with pytest.raises(DataError, match=words):
        recipe(**change).check()


@pytest.mark.parametrize("alphabet", ["digits", "greek", "cyrillic", "accents"])
def test_every_alphabet_can_be_rendered(alphabet):
    crowded = recipe(alphabet=alphabet, objects=4, size=110, grating=0.4)
    crowded.check()
    for index in range(12):
        assert len(render_scene(crowded, 0, index).labels) in (1, 2, 3, 4)
