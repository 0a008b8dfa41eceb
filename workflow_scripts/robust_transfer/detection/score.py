"""Scores of one detector, from its stored detections alone."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from robust_transfer.detection.average_precision import coco_matches, resampled, summary
from robust_transfer.detection.detections import load_detections
from robust_transfer.detection.examples import write_examples
from robust_transfer.detection.voc_precision import voc_mean_ap
from robust_transfer.files import write_json
from robust_transfer.scenes.cache import SceneCache, load_scene_cache

SCHEMA_VERSION = 1
#: COCO's summaries that get an interval over images, and what `resampled` calls them.
WITH_INTERVAL = ("AP", "AP50")
RULES = {"voc07_map50": "07", "voc10_map50": "10"}


def score_detections(
    detections: str | Path,
    record: str | Path,
    scenes: str | Path,
    *,
    scores: str | Path,
    examples: str | Path,
    resamples: int,
    confidence: float,
) -> None:
    """Score what a detector found in the test images, and write scores.json.

    Args:
        detections: as `save_detections` wrote them.
        record: detector.json of the same detector.
        scenes: folder of the cache that the images are of.
        scores: the file to write: what the record says, and for each metric `value`, `ci_low` and
            `ci_high`, in [0, 1] or null. Intervals are percentiles over bootstrap resamples of
            the test images: they hold for this one detector.
        examples: the file to write with a few images, as `write_examples` does.
        resamples: of the test images.
        confidence: of the intervals.

    Raises:
        DataError: a file is damaged, or detections and cache do not belong together.
    """
    found, cache = load_detections(detections), load_scene_cache(scenes)
    about = json.loads(Path(record).read_text(encoding="utf-8"))
    weights = image_weights(len(found.scored), resamples, about["transfer_seed"])
    rows = []
    for kind in ["box"] + ["mask"] * (found.masks is not None and cache.has_masks):
        matches = coco_matches(cache, found, kind=kind)
        for name, value in summary(matches).items():
            low = high = math.nan
            if name in WITH_INTERVAL and not math.isnan(value):
                again = resampled(matches, weights, name)
                tails = [(1 - confidence) / 2, (1 + confidence) / 2]
                low, high = np.nanquantile(again, tails).tolist()
            rows.append(_row(f"{kind}_{name.lower()}", value, low, high))
    for name, rule in RULES.items():
        rows.append(_row(name, voc_mean_ap(cache, found, rule=rule)[0]))
    write_examples(examples, cache, found)
    counts = {"n_test": len(found.scored), "objects": count_objects(cache, found.scored)}
    write_json(scores, about | counts | {"schema_version": SCHEMA_VERSION, "scores": rows})


def image_weights(images: int, resamples: int, seed: int) -> np.ndarray:
    """Draw bootstrap resamples of images: how often each image is drawn.

    Args:
        images: to draw from, each time as many.
        resamples: how many times.
        seed: of the draw.

    Returns:
        (resamples, images) whole numbers; each row sums to `images`.
    """
    draw = np.random.default_rng(np.random.SeedSequence([seed, images]))
    return draw.multinomial(images, np.full(images, 1 / images), size=resamples)


def count_objects(cache: SceneCache, positions: np.ndarray) -> int:
    """Count the objects that detections are held against: neither crowds nor difficult ones."""
    objects = [cache.objects(int(position)) for position in positions]
    return sum(int((~(each.crowd | each.difficult)).sum()) for each in objects)


def _row(
    metric: str, value: float, low: float = math.nan, high: float = math.nan
) -> dict[str, Any]:
    numbers = {"value": value, "ci_low": low, "ci_high": high}
    plain = {key: None if math.isnan(number) else number for key, number in numbers.items()}
    return {"metric": metric, **plain}
