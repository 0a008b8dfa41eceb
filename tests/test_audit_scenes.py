"""The audit of scenes that are files: images and annotations are held against the originals."""

import pytest
from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.plan import make_plan
from robust_transfer.audit.scenes import scenes
from robust_transfer.scenes.write import FILES
from scene_files import box, built, coco_split, voc_folder, write_image

TRAIN = {"one": [("dog", 1, 1, 10, 20), ("cat", 5, 6, 40, 30, 1)], "two": [("cat", 11, 3, 12, 4)]}
TEST = {"four": [("dog", 2, 2, 9, 9)], "none": []}
OUTLINE = {"segmentation": [[4.0, 5.0, 14.0, 5.0, 14.0, 15.0, 4.0, 15.0]]}


def unlike(folder):
    """Let no two images be the same."""
    for seed, path in enumerate(sorted(folder.rglob("JPEGImages/*"))):
        write_image(path, seed)


def voc(folder, **more):
    voc_folder(folder / "pets", {"trainval": TRAIN, "test": TEST})
    unlike(folder)
    lists = {"train": "trainval", "test": "test"}
    return {"name": "pets", "kind": "voc_folder", "path": "pets", **lists, **more}


def voc_2007(folder):
    """As the archives unpack: VOCdevkit in a folder."""
    for year, train in (("2007", TRAIN), ("2012", {"nine": [("cat", 3, 3, 8, 8)]})):
        splits = {"trainval": train} | ({"test": TEST} if year == "2007" else {})
        voc_folder(folder / f"pets/VOCdevkit/VOC{year}", splits, suffix=".jpg")
    unlike(folder)
    return {"name": "pets", "kind": "voc", "path": "pets"}


def coco(folder):
    cats = {3: "cat"}
    (folder / "pets").mkdir()
    coco_split(folder / "pets", {1: "a.png", 2: "b.png"},
               [box(1, 1, 3, [4, 5, 10, 10], **OUTLINE)], "learn", cats)  # fmt: skip
    coco_split(folder / "pets", {3: "c.png"}, [box(1, 3, 3, [4, 5, 10, 10], **OUTLINE)],
               "try", cats)  # fmt: skip
    split = {name: {"images": name, "annotations": f"{name}.json"} for name in ("learn", "try")}
    return {"name": "pets", "kind": "coco_folder", "path": "pets",
            "train": split["learn"], "test": split["try"]}  # fmt: skip


def judged(folder, definition):
    """Audit a cache of a definition: {subject's last word: (status, evidence)}."""
    paths = {name.partition(".")[0]: [f"cache-pets/{name}"] for name in FILES}
    settings = {"definition": definition, "data_root": ".", "on_bad_image": "stop"}
    job = {
        "rule": "build_scene_cache", "script": "detect/build_scene_cache.py",
        "wildcards": {"scenes": "pets"}, "inputs": {}, "outputs": paths, "lone": list(paths),
        "params": {"settings": settings},
    }  # fmt: skip
    plan = make_plan({"study": "pets", "results": "results", "jobs": [job], "claims": [],
                      "config": {}, "handle": "job"})  # fmt: skip
    found = scenes(Evidence(plan, folder, folder))
    return {check.subject.split()[-1]: (check.status, check.evidence) for check in found}


@pytest.mark.parametrize("make", [voc, lambda folder: voc(folder, max_side=20), voc_2007, coco],
                         ids=["voc_folder", "reduced", "voc", "coco_folder"])  # fmt: skip
def test_scenes_are_those_of_their_files(tmp_path, make):
    definition = make(tmp_path)
    cache = built(definition, tmp_path)
    found = judged(tmp_path, definition)
    assert {status for status, _ in found.values()} == {"PASS"}, found
    assert set(found) == {"cache-pets/manifest.json", "originals", "look-alikes", "source"}
    assert f"pixels of {len(cache)} compared" in found["source"][1]
    assert "files of annotations too" in found["source"][1]


def test_files_that_changed_since_are_named(tmp_path):
    definition = voc(tmp_path)
    built(definition, tmp_path)
    annotations = tmp_path / "pets/Annotations/two.xml"
    annotations.write_text(annotations.read_text().replace("11", "12"))
    status, said = judged(tmp_path, definition)["source"]
    assert (status, "two.xml" in said) == ("FAIL", True)
    write_image(tmp_path / "pets/JPEGImages/one.png", seed=99)
    status, said = judged(tmp_path, definition)["source"]
    assert (status, "one.png" in said) == ("FAIL", True)


def test_another_size_than_the_config_asks_for_is_found(tmp_path):
    definition = voc(tmp_path)
    built(definition, tmp_path)
    status, said = judged(tmp_path, definition | {"max_side": 20})["source"]
    assert (status, "cached pixels" in said) == ("FAIL", True)


def test_files_that_are_gone_are_for_a_person_to_judge(tmp_path):
    definition = voc(tmp_path)
    built(definition, tmp_path)
    (tmp_path / "pets").rename(tmp_path / "elsewhere")
    assert judged(tmp_path, definition)["source"][0] == "WARN"


def test_an_image_of_both_splits_that_the_manifest_tells_of_is_for_a_person_to_judge(tmp_path):
    definition = voc(tmp_path)
    source = tmp_path / "pets/JPEGImages"
    (source / "none.png").write_bytes((source / "one.png").read_bytes())
    built(definition, tmp_path)
    found = judged(tmp_path, definition)
    assert found["originals"][0] == "WARN"
    assert found["look-alikes"][0] == "WARN"
