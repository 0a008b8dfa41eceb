"""Each way to tamper with a study of detectors turns the check that it belongs to, and no other."""

import json
from dataclasses import replace

import numpy as np
import pytest
from forgery import Forgery, more
from robust_transfer.detection.average_precision import coco_matches, summary
from robust_transfer.detection.detections import load_detections
from robust_transfer.files import sha256
from robust_transfer.scenes.cache import load_scene_cache

pytestmark = pytest.mark.workflow

STUDY = "tiny_detection"
PLACE = {"backbone": "resnet_small_w4-letters-l2-eps0.25-seed0", "scenes": "scenes"}


def scenes(f, name):
    return f.one("build_scene_cache", name)


def detector(f, name="detections", seed=0):
    return f.one("train_detector", name, **PLACE, seed=str(seed))


def scores(f):
    return f.one("score_detections", "scores", **PLACE, seed="0")


def table(f):
    return f.one("tabulate_detection", "detection")


def seal(f, **changed):
    """Write arrays or rows of the cache; make manifest and all records fit."""

    def tell(manifest):
        manifest["sha256"] = {name: sha256(f.root / folder / name) for name in manifest["sha256"]}
        manifest["source_files_sha256"] = manifest["sha256"]["files.csv"]

    folder = scenes(f, "manifest").rpartition("/")[0]
    if changed:
        f.write_arrays(scenes(f, "objects"), **f.arrays(scenes(f, "objects")) | changed)
    f.edit(scenes(f, "manifest"), tell)
    f.forge(*(scenes(f, name) for name in ("images", "objects", "files", "manifest")))


def rewrite(f, **changed):
    """Change arrays of detections, and every record."""
    f.write_arrays(detector(f), **f.arrays(detector(f)) | changed)
    f.forge(detector(f))


# Bytes


def flip(find, called):
    def change(f):
        f.flip(find(f))

    change.__name__ = f"flip_a_bit_of_{called}"
    return change


def edit_the_last_digit_of_a_score(f):
    value = json.loads(f.read(scores(f)))["scores"][0]["value"]
    f.replace(scores(f), f'"value": {value!r}', f'"value": {more(repr(value))}')


def edit_the_last_digit_of_the_table(f):
    f.edit_rows(table(f), lambda rows: rows[0].update(accuracy=more(rows[0]["accuracy"])))


def raise_a_detection(f):
    f.write_arrays(detector(f), **f.arrays(detector(f)) | {"scores": surer(f)})


def copy_detections_under_another_seed(f):
    f.write(detector(f, seed=1), f.read(detector(f)))


def raise_a_detection_and_its_record(f):
    raise_a_detection(f)
    f.forge(detector(f), consumers=False)


def ask_for_more_steps(f):
    f.replan("train_detector", lambda job: job["params"]["settings"]["recipe"].update(steps=4))


# Data, with every record forged to fit


def leak_a_test_scene_into_train(f):
    cache = load_scene_cache((f.root / scenes(f, "manifest")).parent)
    train, test = 3, cache.n_train + 2
    images = np.load(f.root / scenes(f, "images"))
    flat = images.reshape(-1)
    flat[cache.starts[train] : cache.starts[train + 1]] = cache.image(test).ravel()
    f.write_array(scenes(f, "images"), images)
    f.edit_rows(scenes(f, "files"), lambda rows: rows[train].update(sha256=rows[test]["sha256"]))
    seal(f)


def name_a_test_scene_train(f):
    f.edit_rows(scenes(f, "files"), lambda rows: rows[-1].update(split="train"))
    seal(f)


def move_a_box(f):
    boxes = f.arrays(scenes(f, "objects"))["boxes"]
    boxes[-1] -= np.float32(1) * (boxes[-1].min() >= 1) or np.float32(-1)
    seal(f, boxes=boxes)


def rename_an_object(f):
    classes = f.arrays(scenes(f, "objects"))["classes"]
    place = int(np.flatnonzero(classes != classes[-1])[-1])
    classes[[place, -1]] = classes[[-1, place]]
    seal(f, classes=classes)


def call_an_object_difficult(f):
    difficult = f.arrays(scenes(f, "objects"))["difficult"]
    difficult[-1] = True
    seal(f, difficult=difficult)


def paint_over_a_scene(f):
    images = np.load(f.root / scenes(f, "images"))
    images.reshape(-1)[-300:] = 0
    f.write_array(scenes(f, "images"), images)
    seal(f)


def detect_in_training_images(f):
    said = f.arrays(detector(f))
    count = len(said["scored"])
    rewrite(f, images=said["images"] - count, scored=said["scored"] - count)


def leave_out_a_test_image(f):
    said = f.arrays(detector(f))
    kept = said["images"] != said["scored"][0]
    rewrite(f, scored=said["scored"][1:], **{name: said[name][kept] for name in
            ("images", "boxes", "scores", "classes")})  # fmt: skip


def be_more_than_certain(f):
    rewrite(f, scores=f.arrays(detector(f))["scores"] + np.float32(1))


def find_a_box_that_is_not_finite(f):
    boxes = f.arrays(detector(f))["boxes"]
    boxes[0, 2] = np.inf
    rewrite(f, boxes=boxes)


def find_a_class_that_is_none(f):
    rewrite(f, classes=f.arrays(detector(f))["classes"] + 1)


# Runs and numbers, with every record forged to fit


def pass_a_record_off_as_another_seed(f):
    f.write(detector(f, "about"), f.read(detector(f, "about", seed=1)))
    f.forge(detector(f, "about"))


def pass_one_seed_off_as_two(f):
    copy_detections_under_another_seed(f)
    f.forge(detector(f, seed=1))
    f.redo("score_detections")


def surer(f):
    """Scores of which one is higher, so that the average precision is another."""
    folder, found = (f.root / scenes(f, "manifest")).parent, load_detections(f.root / detector(f))
    cache = load_scene_cache(folder)
    before = summary(coco_matches(cache, found))["AP"]
    for row in np.argsort(-found.scores)[1:]:
        changed = replace(found, scores=found.scores.copy())
        changed.scores[row] = 1
        if summary(coco_matches(cache, changed))["AP"] != before:
            return changed.scores
    raise LookupError("no detection counts")


def raise_a_detection_and_every_record(f):
    rewrite(f, scores=surer(f))


def find_every_object(f):
    said, cache = f.arrays(detector(f)), load_scene_cache((f.root / scenes(f, "manifest")).parent)
    found = [cache.objects(int(image)) for image in said["scored"]]
    images = np.repeat(said["scored"], [len(each) for each in found])
    rewrite(f, images=images, scores=np.ones(len(images), np.float32),
            boxes=np.concatenate([each.boxes for each in found]),
            classes=np.concatenate([each.classes for each in found]))  # fmt: skip


def edit_a_score(f):
    f.edit(scores(f), lambda said: said["scores"][0].update(value=0.25))
    f.forge(scores(f))
    f.redo()


def edit_the_table(f):
    f.edit_rows(table(f), lambda rows: rows[0].update(accuracy="0.25"))
    f.forge(table(f))


def leave_out_a_detector(f):
    f.edit_rows(table(f), lambda rows: [row for row in rows if row["transfer_seed"] != "1"])
    f.forge(table(f))


def count_other_objects(f):
    f.edit(scores(f), lambda said: said.update(objects=said["objects"] + 1))
    f.forge(scores(f))
    f.redo()


def narrow_an_interval(f):
    f.edit(scores(f), lambda said: said["scores"][0].update(ci_low=said["scores"][0]["value"]))
    f.forge(scores(f))
    f.redo()


def edit_the_very_last_digit_and_all_that_follows(f):
    edit_the_last_digit_of_a_score(f)
    f.forge(scores(f))
    f.redo()


MUTATIONS = {
    "integrity": [
        *(flip(lambda f, name=name: scenes(f, name), f"the_scenes'_{name}")
          for name in ("images", "objects", "manifest")),
        *(flip(lambda f, name=name: detector(f, name), f"a_detector's_{name}")
          for name in ("detections", "about")),
        edit_the_last_digit_of_a_score, edit_the_last_digit_of_the_table, raise_a_detection,
        copy_detections_under_another_seed,
    ],
    "custody": [raise_a_detection_and_its_record],
    "currency": [ask_for_more_steps],
    "data": [
        leak_a_test_scene_into_train, name_a_test_scene_train, move_a_box, rename_an_object,
        call_an_object_difficult, paint_over_a_scene, detect_in_training_images,
        leave_out_a_test_image, be_more_than_certain, find_a_box_that_is_not_finite,
        find_a_class_that_is_none,
    ],
    "replicates": [pass_a_record_off_as_another_seed, pass_one_seed_off_as_two],
    "statistics": [
        raise_a_detection_and_every_record, find_every_object, edit_a_score, edit_the_table,
        leave_out_a_detector, count_other_objects,
    ],
    "tables": [narrow_an_interval, edit_the_very_last_digit_and_all_that_follows],
}  # fmt: skip
CASES = [(check, change) for check, changes in MUTATIONS.items() for change in changes]


def name(case):
    return f"{case[0]}-{case[1].__name__}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_change_turns_its_own_check_and_no_other(audited_detection, tmp_path, case):
    expected, change = case
    forgery = Forgery(audited_detection, tmp_path / "study", STUDY)
    change(forgery)
    wrong = [check for check in forgery.audit() if check.status != "PASS"]
    assert {check.name for check in wrong} == {expected}, wrong


def test_an_untouched_study_of_detectors_passes_without_a_warning(audited_detection, tmp_path):
    forgery = Forgery(audited_detection, tmp_path / "study", STUDY)
    found = forgery.audit()
    assert [check for check in found if check.status != "PASS"] == []
    judged = {(check.name, check.subject) for check in found}
    for job in forgery.plan.with_output("detections", "about"):
        (detections,), (about,) = job.outputs["detections"], job.outputs["about"]
        assert {("data", detections), ("replicates", about)} <= judged
    for path in (scores(forgery), table(forgery)):
        assert {("statistics", path), ("tables", path)} <= judged
    assert ("data", f"{scenes(forgery, 'manifest')}: source") in judged


def test_scenes_left_out_of_a_bundle_are_judged_without_their_pixels(audited_detection, tmp_path):
    forgery = Forgery(audited_detection, tmp_path / "study", STUDY)
    images = scenes(forgery, "images")
    forgery.plan.by_hash[images] = sha256(forgery.root / images)
    forgery.remove(images)
    found = forgery.audit()
    assert [check for check in found if check.status != "PASS"] == []
    assert ("statistics", scores(forgery)) in {(check.name, check.subject) for check in found}
