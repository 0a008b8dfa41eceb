"""Small copies of published datasets: generated images in the true layouts and formats."""

import json
import pickle

import numpy as np
from PIL import Image


def put(root, *paths, size=(9, 7)):
    """Write an image of its own noise at every path."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(list(str(path).encode())).integers(0, 256, (*size, 3))
        # Some of these files end in .png or .JPEG; the format is told by the suffix.
        Image.fromarray(pixels.astype(np.uint8)).save(file)


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def aircraft(root):
    root = root / "fgvc-aircraft-2013b"
    planes = {"trainval": ["Boeing 717", "F/A-18", "Boeing 717", "F/A-18"], "test": ["F/A-18"]}
    number = 0
    for split, variants in planes.items():
        lines = []
        for variant in variants:
            number += 1
            put(root, f"data/images/{number:07d}.jpg")
            lines.append(f"{number:07d} {variant}\n")
        write(root / f"data/images_variant_{split}.txt", "".join(lines))
    write(root / "data/variants.txt", "Boeing 717\nF/A-18\n")
    return {"Boeing 717": (2, 0), "F/A-18": (2, 1)}


def birdsnap(root):
    root = root / "birdsnap"
    write(root / "species.txt", "id\tcommon\tscientific\tdir\n"
          "1\tAcadian Flycatcher\tEmpidonax virescens\tAcadian_Flycatcher\n"
          "2\tAcorn Woodpecker\tMelanerpes formicivorus\tAcorn_Woodpecker\n")  # fmt: skip
    rows, test = ["url\tmd5\tpath\tspecies_id\tbb_x1\tbb_y1\tbb_x2\tbb_y2"], ["path"]
    for species, folder in (("1", "Acadian_Flycatcher"), ("2", "Acorn_Woodpecker")):
        for number in range(6):
            path = f"{folder}/{number}.jpg"
            rows.append(f"http://gone.example/{number}\t0\t{path}\t{species}\t1\t1\t5\t5")
            test += [path] if number == 5 else []
            if number != 3:  # a photo that could not be fetched
                put(root / "images", path)
    write(root / "images.txt", "\n".join(rows) + "\n")
    write(root / "test_images.txt", "\n".join(test) + "\n")
    return {"Acadian Flycatcher": (4, 1), "Acorn Woodpecker": (4, 1)}


def caltech101(root):
    root = root / "caltech101" / "101_ObjectCategories"
    put(root, "BACKGROUND_Google/image_0001.jpg")
    for name, count in (("accordion", 33), ("Faces_easy", 31)):
        put(root, *(f"{name}/image_{number:04d}.jpg" for number in range(1, count + 1)))
    return {"Faces_easy": (30, 1), "accordion": (30, 3)}


def caltech256(root):
    root = root / "caltech256" / "256_ObjectCategories"
    for name, count in (("001.ak47", 62), ("198.spider", 61), ("257.clutter", 61)):
        prefix = name[:3]
        put(root, *(f"{name}/{prefix}_{number:04d}.jpg" for number in range(1, count + 1)))
    write(root / "198.spider/RENAME2", "")
    return {"001.ak47": (60, 2), "198.spider": (60, 1), "257.clutter": (60, 1)}


def cars(root):
    from scipy.io import savemat

    root = root / "stanford_cars"
    names = ["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"]
    put(root, *(f"cars_train/{n:05d}.jpg" for n in (1, 2, 3)))
    put(root, *(f"cars_test/{n:05d}.jpg" for n in (1, 2)))
    (root / "devkit").mkdir(parents=True)
    savemat(root / "devkit/cars_meta.mat", {"class_names": np.array([names], dtype=object)})
    kind = [(key, object) for key in
            ("bbox_x1", "bbox_y1", "bbox_x2", "bbox_y2", "class", "fname")]  # fmt: skip
    for file, labels in (("devkit/cars_train_annos.mat", [2, 1, 2]),
                         ("cars_test_annos_withlabels.mat", [1, 2])):  # fmt: skip
        rows = [(1, 1, 5, 5, label, f"{n:05d}.jpg") for n, label in enumerate(labels, start=1)]
        savemat(root / file, {"annotations": np.array([rows], dtype=kind)})
    return {names[0]: (1, 1), names[1]: (2, 1)}


def _batch(count, classes, key, seed):
    rng = np.random.default_rng(seed)
    labels = [n % classes for n in range(count)]
    return {"data": rng.integers(0, 256, (count, 3072)).astype(np.uint8), key: labels,
            "batch_label": "batch", "filenames": [f"{n}.png" for n in range(count)]}  # fmt: skip


def _as_numpy_1_wrote_it(content):
    """Pickle as Python 2 and NumPy 1.x did: protocol 2, the array rebuilt by numpy.core."""
    return pickle.dumps(content, protocol=2).replace(b"numpy._core.", b"numpy.core.")


def cifar10(root):
    folder = root / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    names = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship",
             "truck"]  # fmt: skip
    files = {f"data_batch_{n}": _batch(10, 10, "labels", n) for n in range(1, 6)}
    files |= {"test_batch": _batch(10, 10, "labels", 9), "batches.meta": {"label_names": names}}
    for name, content in files.items():
        (folder / name).write_bytes(_as_numpy_1_wrote_it(content))
    return dict.fromkeys(names, (5, 1))


def cifar100(root):
    folder = root / "cifar-100-python"
    folder.mkdir(parents=True)
    names = [f"class {n:02d}" for n in range(100)]
    files = {
        "train": _batch(200, 100, "fine_labels", 1),
        "test": _batch(100, 100, "fine_labels", 2),
    }
    files |= {"meta": {"fine_label_names": names, "coarse_label_names": []}}
    for name, content in files.items():
        (folder / name).write_bytes(_as_numpy_1_wrote_it(content))
    return dict.fromkeys(names, (2, 1))


def dtd(root):
    root = root / "dtd"
    for place, split in enumerate(("train", "val", "test")):
        lines = [f"{name}/{name}_{place}.jpg" for name in ("banded", "zigzagged")]
        put(root, *(f"images/{line}" for line in lines))
        write(root / f"labels/{split}1.txt", "\n".join(lines) + "\n")
        write(root / f"labels/{split}2.txt", "\n".join(reversed(lines)) + "\n")
    return dict.fromkeys(("banded", "zigzagged"), (2, 1))


def flowers(root):
    from scipy.io import savemat

    root = root / "flowers-102"
    put(root, *(f"jpg/image_{n:05d}.jpg" for n in range(1, 7)))
    savemat(root / "imagelabels.mat", {"labels": np.array([[1, 2, 1, 2, 1, 2]], np.uint8)})
    savemat(root / "setid.mat", {"trnid": np.array([[5, 2]]), "valid": np.array([[1, 4]]),
                                 "tstid": np.array([[3, 6]])})  # fmt: skip
    return {"001": (2, 1), "002": (2, 1)}


def food(root):
    root = root / "food-101"
    for split, numbers in (("train", (1, 2)), ("test", (3,))):
        listed = {name: [f"{name}/{n}" for n in numbers] for name in ("apple_pie", "waffles")}
        put(root, *(f"images/{image}.jpg" for images in listed.values() for image in images))
        write(root / f"meta/{split}.json", json.dumps(listed))
    return dict.fromkeys(("apple_pie", "waffles"), (2, 1))


def pets(root):
    root = root / "oxford-iiit-pet"
    parts = {"trainval": ["Abyssinian_1 1 1 1", "great_pyrenees_7 2 2 1", "great_pyrenees_9 2 2 1"],
             "test": ["Abyssinian_2 1 1 1"]}  # fmt: skip
    for split, lines in parts.items():
        put(root, *(f"images/{line.split()[0]}.jpg" for line in lines))
        write(root / f"annotations/{split}.txt", "\n".join(lines) + "\n")
    write(root / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID\n")
    return {"Abyssinian": (1, 1), "great_pyrenees": (2, 0)}


def sun397(root):
    root = root / "SUN397"
    classes = ("/a/abbey", "/b/bridge/indoor")
    write(root / "ClassName.txt", "\n".join(classes) + "\n")
    for split, numbers in (("Training", (1, 2)), ("Testing", (3,))):
        lines = [f"{name}/sun_{n}.jpg" for name in classes for n in numbers]
        put(root, *(line[1:] for line in lines))
        write(root / f"Partitions/{split}_01.txt", "\r\n".join(lines) + "\r\n")
    return {"abbey": (2, 1), "bridge/indoor": (2, 1)}


WNIDS = ("n01440764", "n02102040")


def _imagenet_like(folder, name):
    for wnid in WNIDS:
        put(folder, *(f"train/{wnid}/{wnid}_{n}.JPEG" for n in range(2)))
        put(folder, f"val/{wnid}/{name}_{wnid}.JPEG")
    return dict.fromkeys(WNIDS, (2, 1))


def imagenet(root):
    return _imagenet_like(root / "imagenet", "ILSVRC2012_val")


def stylized_imagenet(root):
    return _imagenet_like(root / "stylized-imagenet", "stylized")


def imagenette(root):
    return _imagenet_like(root / "imagenette2-320", "val")


def tiny_imagenet(root):
    root = root / "tiny-imagenet-200"
    write(root / "wnids.txt", "\n".join(WNIDS) + "\n")
    rows = []
    for place, wnid in enumerate(WNIDS):
        put(root, *(f"train/{wnid}/images/{wnid}_{n}.JPEG" for n in range(2)))
        write(root / f"train/{wnid}/{wnid}_boxes.txt", "boxes\n")
        put(root, f"val/images/val_{place}.JPEG")
        rows.append(f"val_{place}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    write(root / "val/val_annotations.txt", "".join(rows))
    return dict.fromkeys(WNIDS, (2, 1))


#: kind -> writes a small copy below a folder; returns its classes: (training, test images).
ARCHIVES = {
    each.__name__: each
    for each in (aircraft, birdsnap, caltech101, caltech256, cars, cifar10, cifar100, dtd,
                 flowers, food, imagenet, imagenette, pets, stylized_imagenet, sun397,
                 tiny_imagenet)
}  # fmt: skip
