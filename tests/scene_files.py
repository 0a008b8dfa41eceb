"""Small datasets of scenes on disk, in the layouts of Pascal VOC and COCO."""

import json

import numpy as np
from PIL import Image
from robust_transfer.scenes.build import build_scene_cache
from robust_transfer.scenes.cache import load_scene_cache, verify_scene_cache

WIDTH, HEIGHT = 40, 30


def write_image(path, seed=0, size=(WIDTH, HEIGHT)):
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(noise).save(path)


def xml(objects, size=(WIDTH, HEIGHT)):
    """Annotations of VOC; an object is (name, xmin, ymin, xmax, ymax[, difficult])."""
    parts = [f"<annotation><size><width>{size[0]}</width><height>{size[1]}</height></size>"]
    for name, *box in objects:
        edges = "".join(
            f"<{side}>{edge}</{side}>"
            for side, edge in zip(("xmin", "ymin", "xmax", "ymax"), box[:4], strict=True)
        )
        flag = f"<difficult>{box[4]}</difficult>" if len(box) > 4 else ""
        parts.append(f"<object><name>{name}</name>{flag}<bndbox>{edges}</bndbox></object>")
    return "".join(parts) + "</annotation>"


def voc_folder(root, splits, suffix=".png"):
    """Write a folder: splits maps a list's name to {image: objects}; suffix .png is lossless."""
    for split, scenes in splits.items():
        lists = root / "ImageSets" / "Main"
        lists.mkdir(parents=True, exist_ok=True)
        (lists / f"{split}.txt").write_text("".join(f"{name}\n" for name in scenes))
        for seed, (name, objects) in enumerate(scenes.items()):
            write_image(root / "JPEGImages" / f"{name}{suffix}", seed)
            (root / "Annotations").mkdir(exist_ok=True)
            (root / "Annotations" / f"{name}.xml").write_text(xml(objects))


def coco_split(root, images, annotations, name, categories):
    """Write one split: images maps an id to a file's name, annotations are COCO's."""
    for number, file in images.items():
        write_image(root / name / file, number)
    record = {
        "images": [
            {"id": number, "file_name": file, "height": HEIGHT, "width": WIDTH}
            for number, file in images.items()
        ],
        "annotations": annotations,
        "categories": [{"id": number, "name": word} for number, word in categories.items()],
    }
    (root / f"{name}.json").write_text(json.dumps(record))


def box(number, image, category, bbox, **more):
    """One annotation of COCO."""
    entry = {"id": number, "image_id": image, "category_id": category, "bbox": bbox}
    return entry | {"area": bbox[2] * bbox[3], "iscrowd": 0} | more


def built(definition, tmp_path, *, policy="stop", **how):
    """Build and check a cache of a dataset below `tmp_path`."""
    folder = tmp_path / f"cache-{definition['name']}"
    build_scene_cache(definition, data_root=tmp_path, on_bad_image=policy, output=folder, **how)
    verify_scene_cache(folder)
    return load_scene_cache(folder)
