"""Published datasets: read from the layout of their archives, as torchvision reads them."""

import csv
import json
import os
import pickle
from pathlib import Path

import numpy as np
import pytest
from archives import ARCHIVES, WNIDS, put, write
from PIL import Image
from robust_transfer.config.data import PublishedDataset
from robust_transfer.config.published import as_markdown, published_datasets
from robust_transfer.errors import DataError
from robust_transfer.images.build import build_cache, list_dataset
from robust_transfer.images.cache import load_cache
from robust_transfer.images.published.read import READERS

ROOT = Path(__file__).parent.parent
KINDS = sorted(published_datasets())


def definition(kind, **keys):
    return {"name": "it", "kind": kind} | ({"split_seed": 0} if kind == "birdsnap" else {}) | keys


def counts(listing):
    train, test = listing.labels[: listing.n_train], listing.labels[listing.n_train :]
    return {name: (int((train == place).sum()), int((test == place).sum()))
            for place, name in enumerate(listing.classes)}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_from_archive_to_cache(kind, tmp_path):
    expected = ARCHIVES[kind](tmp_path)
    listing = list_dataset(definition(kind), tmp_path)
    if kind != "birdsnap":  # there the paper's split is drawn
        assert counts(listing) == expected
    assert listing.classes == tuple(sorted(listing.classes))
    build_cache(definition(kind), "8", tmp_path / "cache", data_root=tmp_path, on_bad_image="stop")
    cache = load_cache(tmp_path / "cache")
    assert cache.images.shape == (len(listing), 8, 8, 3)
    assert cache.labels.tolist() == listing.labels.tolist()


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_the_config_and_the_readers_know_the_same_datasets(kind):
    assert set(READERS) == set(ARCHIVES) == set(KINDS)
    assert PublishedDataset(name="x", kind=kind).metric == published_datasets()[kind].metric


def oracle(kind, root):
    """(path, class number or name) of training and test images as torchvision lists them."""
    from torchvision import datasets

    match kind:
        case "aircraft":
            parts = [datasets.FGVCAircraft(root, split) for split in ("trainval", "test")]
            return [list(zip(d._image_files, [d.classes[n] for n in d._labels], strict=True))
                    for d in parts]  # fmt: skip
        case "food":
            parts = [datasets.Food101(root, split) for split in ("train", "test")]
        case "flowers":
            parts = [datasets.Flowers102(root, split) for split in ("train", "val", "test")]
            rows = [list(zip(d._image_files, [f"{n + 1:03d}" for n in d._labels], strict=True))
                    for d in parts]  # fmt: skip
            return [rows[0] + rows[1], rows[2]]
        case "cars":
            parts = [datasets.StanfordCars(root, split) for split in ("train", "test")]
            return [[(path, d.classes[n]) for path, n in d._samples] for d in parts]
    return [list(zip(d._image_files, [d.classes[n] for n in d._labels], strict=True))
            for d in parts]  # fmt: skip


@pytest.mark.parametrize("kind", ["aircraft", "cars", "flowers", "food"])
def test_torchvision_lists_the_same_images_with_the_same_classes(kind, tmp_path, monkeypatch):
    from torchvision import datasets

    monkeypatch.setattr(datasets.Flowers102, "_check_integrity", lambda self: True)
    ARCHIVES[kind](tmp_path)
    listing = list_dataset(definition(kind), tmp_path)
    ours = [(str(listing.root / path), listing.classes[label])
            for path, label in zip(listing.paths, listing.labels, strict=True)]  # fmt: skip
    train, test = ([(str(path), name) for path, name in part] for part in oracle(kind, tmp_path))
    assert sorted(ours[: listing.n_train]) == sorted(train)
    assert sorted(ours[listing.n_train :]) == sorted(test)


def test_the_unpickler_of_cifar_gives_what_pickle_gives(tmp_path):
    ARCHIVES["cifar10"](tmp_path)
    listing = list_dataset(definition("cifar10"), tmp_path)
    files = [tmp_path / f"cifar-10-batches-py/data_batch_{n}" for n in range(1, 6)]
    written = [file.read_bytes().replace(b"numpy.core.", b"numpy._core.") for file in files]
    batches = [pickle.loads(content) for content in written]
    expected = np.concatenate([b["data"].reshape(-1, 3, 32, 32) for b in batches])
    np.testing.assert_array_equal(listing.pixels[:50].transpose(0, 3, 1, 2), expected)
    assert listing.labels[:50].tolist() == [n for b in batches for n in b["labels"]]


def test_a_hostile_cifar_batch_is_refused_and_does_not_run(tmp_path):
    class Hostile:
        def __reduce__(self):
            return open, (str(tmp_path / "was_run"), "w")

    ARCHIVES["cifar10"](tmp_path)
    batch = tmp_path / "cifar-10-batches-py/data_batch_3"
    batch.write_bytes(pickle.dumps({"data": Hostile()}, protocol=2))
    with pytest.raises(DataError, match=r"data_batch_3.*no CIFAR file does"):
        list_dataset(definition("cifar10"), tmp_path)
    assert not (tmp_path / "was_run").exists()


# Splits


@pytest.mark.parametrize(("kind", "count"), [("caltech101", 30), ("caltech256", 60)])
def test_the_papers_split_of_caltech_takes_the_first_images_the_standard_one_draws(
    kind, count, tmp_path
):
    ARCHIVES[kind](tmp_path)
    paper = list_dataset(definition(kind, split="paper"), tmp_path)
    numbers = [int(path[-8:-4]) for path in paper.paths[: paper.n_train]]
    assert sorted(set(numbers)) == list(range(1, count + 1))
    drawn = list_dataset(definition(kind, split="standard", split_seed=0), tmp_path)
    assert counts(drawn) == counts(paper)
    assert drawn.paths != paper.paths
    again = list_dataset(definition(kind, split="standard", split_seed=0), tmp_path)
    assert drawn.paths == again.paths


def test_the_standard_split_of_birdsnap_is_the_official_one_less_what_is_gone(tmp_path):
    expected = ARCHIVES["birdsnap"](tmp_path)
    listing = list_dataset(definition("birdsnap", split="standard"), tmp_path)
    assert counts(listing) == expected
    assert "2 of 12 images could not be had" in listing.source
    drawn = list_dataset(definition("birdsnap", split_seed=1), tmp_path)
    assert (drawn.n_train, len(drawn)) == (8, 10)


def test_another_partition_is_read_from_its_own_files(tmp_path):
    ARCHIVES["dtd"](tmp_path)
    second = list_dataset(definition("dtd", partition=2), tmp_path)
    assert second.paths[0] == "images/zigzagged/zigzagged_0.jpg"
    with pytest.raises(DataError, match=r"train3\.txt"):
        list_dataset(definition("dtd", partition=3), tmp_path)


@pytest.mark.parametrize("labels", ["kaggle", "devkit"])
def test_imagenet_validation_in_one_folder_is_labelled_by_its_annotations(labels, tmp_path):
    from scipy.io import savemat

    ARCHIVES["imagenet"](tmp_path)
    root = tmp_path / "imagenet"
    for number, wnid in enumerate(WNIDS, start=1):
        (old,) = (root / "val" / wnid).iterdir()
        old.rename(root / f"val/ILSVRC2012_val_{number:08d}.JPEG")
        (root / "val" / wnid).rmdir()
    if labels == "kaggle":
        rows = [f"ILSVRC2012_val_{n:08d},{wnid} 1 1 5 5\n" for n, wnid in enumerate(WNIDS, 1)]
        write(root / "LOC_val_solution.csv", "ImageId,PredictionString\n" + "".join(rows))
    else:
        data = root / "ILSVRC2012_devkit_t12/data"
        write(data / "ILSVRC2012_validation_ground_truth.txt", "2\n1\n")
        kind = [("ILSVRC2012_ID", object), ("WNID", object)]
        synsets = np.array([(1, WNIDS[1]), (2, WNIDS[0])], dtype=kind)
        savemat(data / "meta.mat", {"synsets": synsets})
    listing = list_dataset(definition("imagenet"), tmp_path)
    assert counts(listing) == dict.fromkeys(WNIDS, (2, 1))
    assert listing.paths[-2:] == tuple(f"val/ILSVRC2012_val_{n:08d}.JPEG" for n in (1, 2))


# A table of paths and labels


@pytest.fixture
def table(tmp_path):
    paths = [f"fotos/{name} {n}.png" for name in ("jay", "öwl") for n in range(4)]
    put(tmp_path, *paths)
    rows = [(path, path.split()[0][6:], "test" if "3" in path else "train") for path in paths]
    with (tmp_path / "list.csv").open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("path", "label", "split"), *rows])
    return tmp_path / "list.csv"


def test_a_csv_of_paths_labels_and_splits_is_a_dataset(table):
    listing = list_dataset(definition("csv", path="list.csv"), table.parent)
    assert counts(listing) == {"jay": (3, 1), "öwl": (3, 1)}


def test_a_csv_without_a_column_split_is_split_by_a_seed(table):
    table.write_text(table.read_text().replace("split", "part"))
    with pytest.raises(DataError, match="neither a column split nor test_fraction"):
        list_dataset(definition("csv", path="list.csv"), table.parent)
    drawn = list_dataset(
        definition("csv", path="list.csv", test_fraction=0.25, split_seed=0), table.parent
    )
    assert counts(drawn) == {"jay": (3, 1), "öwl": (3, 1)}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("path,label", "file,label", "no column 'path'"),
        ("jay 0.png,jay", "jay 0.png", "line 2: 2 cells"),
        ("jay 0.png,jay", "jay 0.png,", "the path or the label is empty"),
        ("jay 0.png,jay", "jay 0.png,Jay", "two spellings of one class"),
        ("jay 0.png,jay", "jay 1.png,jay", "stands twice"),
        ("fotos/jay 0.png", "../secret.png", "outside the dataset"),
        ("fotos/jay 0.png", "/etc/passwd", "outside the dataset"),
        ("fotos/jay 0.png", "fotos/jay 9.png", "name 1 of 8 images that are not there"),
        (",train", ",trian", "Did you mean 'train'"),
    ],
)
def test_a_wrong_csv_says_what_is_wrong(table, old, new, words):
    table.write_text(table.read_text().replace(old, new, 1))
    with pytest.raises(DataError, match=words):
        list_dataset(definition("csv", path="list.csv"), table.parent)


# What is missing or broken


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_there_is_said_with_how_to_get_it_and_where_it_must_lie(kind, tmp_path):
    with pytest.raises(DataError) as raised:
        list_dataset(definition(kind), tmp_path)
    text = str(raised.value)
    assert str(tmp_path) in text
    assert "http" in text
    assert f"must lie as {published_datasets()[kind].folder}/ with" in text


@pytest.mark.parametrize(
    ("kind", "file", "damage", "words"),
    [
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_test.txt", "junk\n", "<variant>"),
        ("aircraft", "fgvc-aircraft-2013b/data/images_variant_test.txt", "", "empty"),
        ("pets", "oxford-iiit-pet/annotations/test.txt", "Abyssinian_2 1\n", "species"),
        ("pets", "oxford-iiit-pet/annotations/test.txt", "Abyssinian_7 1 1 1\n", "not there"),
        ("dtd", "dtd/labels/test1.txt", "../../x.jpg\n", "outside the dataset"),
        ("dtd", "dtd/labels/test1.txt", "Banded/banded_2.jpg\n", "not there|two spellings"),
        ("sun397", "SUN397/Partitions/Testing_01.txt", "/a\n", "<letter>"),
        ("food", "food-101/meta/test.json", "{", "JSON"),
        ("food", "food-101/meta/test.json", "[1]", "JSON"),
        ("tiny_imagenet", "tiny-imagenet-200/val/val_annotations.txt", "x.JPEG\tn9\n", "wnid"),
        ("flowers", "flowers-102/setid.mat", "not a mat file", "MATLAB"),
        ("cars", "stanford_cars/devkit/cars_meta.mat", "", "MATLAB"),
        ("birdsnap", "birdsnap/images.txt", "a\tb\n", "species_id"),
        ("cifar10", "cifar-10-batches-py/test_batch", "", "no file of CIFAR"),
        ("cifar100", "cifar-100-python/meta", "garbage", "no file of CIFAR"),
    ],
)
def test_a_broken_annotation_names_its_file(kind, file, damage, words, tmp_path):
    ARCHIVES[kind](tmp_path)
    (tmp_path / file).write_text(damage)
    with pytest.raises(DataError, match=words) as raised:
        list_dataset(definition(kind), tmp_path)
    assert Path(file).parts[0] in str(raised.value)


def test_a_cars_test_file_without_labels_is_recognised(tmp_path):
    from scipy.io import savemat

    ARCHIVES["cars"](tmp_path)
    rows = np.array([(1, "00001.jpg")], dtype=[("bbox_x1", object), ("fname", object)])
    savemat(tmp_path / "stanford_cars/cars_test_annos_withlabels.mat", {"annotations": rows})
    with pytest.raises(DataError, match="without labels"):
        list_dataset(definition("cars"), tmp_path)


# The odd images of the wild, in any dataset


def test_odd_images_are_read_in_the_stated_way_and_bad_ones_are_counted(tmp_path):
    ARCHIVES["food"](tmp_path)
    folder = tmp_path / "food-101/images/apple_pie"
    odd = {
        "cmyk": lambda f: Image.new("CMYK", (9, 7)).save(f, "JPEG"),
        "palette": lambda f: Image.new("P", (9, 7)).save(f, "GIF"),
        "grey16": lambda f: Image.new("I;16", (9, 7)).save(f, "PNG"),
        "animated": lambda f: Image.new("P", (9, 7)).save(
            f, "GIF", save_all=True, append_images=[Image.new("P", (9, 7), 1)]
        ),
        "dot": lambda f: Image.new("RGB", (1, 1)).save(f, "PNG"),
        "strip": lambda f: Image.new("RGB", (20000, 20)).save(f, "PNG"),
        "größe": lambda f: Image.new("RGB", (9, 7)).save(f, "PNG"),
        "empty": lambda f: f.write_bytes(b""),
        "no image": lambda f: f.write_bytes(b"no image"),
    }
    listed = json.loads((tmp_path / "food-101/meta/train.json").read_text())
    for name, save in odd.items():
        save(folder / f"{name}.jpg")
        listed["apple_pie"].append(f"apple_pie/{name}")
    (tmp_path / "food-101/meta/train.json").write_text(json.dumps(listed))
    cache = tmp_path / "cache"
    build_cache(definition("food"), "8", cache, data_root=tmp_path, on_bad_image="leave_out")
    manifest = load_cache(cache).manifest
    assert {Path(each["path"]).stem for each in manifest["left_out"]} == {"empty", "no image"}
    assert manifest["n_train"] == 4 + 7


# The real archives, where they are


@pytest.mark.real_data
@pytest.mark.parametrize("kind", KINDS)
def test_a_real_archive_has_the_counts_of_the_table(kind):
    """Looked for below the folder that REAL_DATA names."""
    known, root = published_datasets()[kind], Path(os.environ.get("REAL_DATA", "data"))
    if not (root / known.folder).is_dir():
        pytest.skip(f"no {known.folder} below {root}: set REAL_DATA")
    listing = list_dataset(definition(kind), root)
    assert len(listing.classes) == known.classes
    if kind != "birdsnap":  # how many photos can still be had is chance
        assert listing.n_train == known.n_train
        assert len(listing) - listing.n_train == known.n_test


# The documentation


def test_every_line_of_the_table_stands_in_the_documentation():
    """Print it anew: PYTHONPATH=workflow_scripts python -m robust_transfer.config.published."""
    text = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert as_markdown() in text
    assert all(f"`{kind}`" in text for kind in KINDS)
