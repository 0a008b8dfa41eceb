"""Made-up scores of detectors, as `score_detections` writes them, and their examples."""

import json

import numpy as np

METRICS = ("box_ap", "box_ap50", "box_ap75", "box_ap_small", "box_ap_medium", "box_ap_large",
           "mask_ap", "mask_ap50", "voc07_map50", "voc10_map50")  # fmt: skip
#: (source, epsilon, pretraining seed): a standard and a robust one, twice, and controls.
BODIES = [("letters", 0.0, 0), ("letters", 0.0, 1), ("letters", 0.1, 0), ("letters", 0.1, 1),
          ("none", 0.0, 0)]  # fmt: skip
VALUE = {("letters", 0.0): 0.4, ("letters", 0.1): 0.5, ("none", 0.0): 0.2}


def backbone_name(source, epsilon, seed):
    return f"resnet_small-{source}-l2-eps{epsilon:g}-seed{seed}"


def write_scores(folder, *, bodies=BODIES, seeds=(0, 1), detector="mask_rcnn_small"):
    """Write scores.json and examples.npz of each detector, and backbone.json of each backbone.

    Returns:
        Paths of scores, of backbone records and of the examples of the first seed.
    """
    draw = np.random.default_rng(5)
    scores, records, examples = [], [], []
    for source, epsilon, pretrain_seed in bodies:
        name = backbone_name(source, epsilon, pretrain_seed)
        record = folder / "pretrain" / name / "backbone.json"
        record.parent.mkdir(parents=True)
        record.write_text(json.dumps({"backbone": name, "source_accuracy": 0.9}))
        records.append(record)
        for seed in seeds:
            place = folder / "detect" / name / "scenes" / detector / f"seed{seed}"
            place.mkdir(parents=True)
            value = VALUE[source, epsilon] + 0.01 * draw.normal()
            rows = [{"metric": metric, "value": None if metric == "box_ap_large" else value,
                     "ci_low": value - 0.05 if metric.endswith("_ap") else None,
                     "ci_high": value + 0.05 if metric.endswith("_ap") else None}
                    for metric in METRICS]  # fmt: skip
            said = {"architecture": "resnet_small", "source": source, "norm": "l2",
                    "epsilon": epsilon, "pretrain_seed": pretrain_seed, "dataset": "scenes",
                    "detector": detector, "transfer_seed": seed, "backbone": name, "n_test": 200,
                    "objects": 401, "classes": 12, "seconds": 30.0, "images_through_network": 2200,
                    "peak_memory_bytes": 10**9, "device": "cpu", "scores": rows}  # fmt: skip
            (place / "scores.json").write_text(json.dumps(said))
            scores.append(place / "scores.json")
        examples.append(scores[-1].parent.parent / f"seed{seeds[0]}" / "examples.npz")
        write_example(examples[-1], draw)
    return scores, records, examples


def write_example(path, draw):
    """Write examples of two scenes: one true object each, found in the first only."""
    arrays = {"classes": np.array(["A", "B"]), "count": np.array(2)}
    for image in range(2):
        mask = np.zeros((1, 24, 32), bool)
        mask[0, 4:12, 6:14] = True
        found = 1 - image
        arrays |= {f"image_{image}": draw.integers(0, 256, (24, 32, 3), dtype=np.uint8),
                   f"true_boxes_{image}": np.array([[6, 4, 14, 12]], np.float32),
                   f"true_classes_{image}": np.array([image]), f"true_masks_{image}": mask,
                   f"found_boxes_{image}": np.array([[5, 4, 14, 13]], np.float32)[:found],
                   f"found_classes_{image}": np.array([0])[:found],
                   f"found_scores_{image}": np.array([0.875], np.float32)[:found],
                   f"found_masks_{image}": mask[:found]}  # fmt: skip
    np.savez_compressed(path, **arrays)
