# What detectors are named by and depend on, beside rules/common.smk.
from robust_transfer.config.detect import detector_recipe
from robust_transfer.config.scenes import image_definition

DETECTOR = f"{RESULTS}/detect/{{backbone}}/{{scenes}}/{{detector}}"


wildcard_constraints:
    scenes="[^/-]+",
    detector="[a-z_]+",


def scene_settings(wildcards):
    """What a cache of scenes depends on."""
    return {
        "definition": image_definition(study.scenes(wildcards.scenes)),
        "data_root": DATA,
        "on_bad_image": study.settings["data"]["on_bad_image"],
    }


def scenes_of(wildcards):
    """Name a cache of scenes by its manifest, which holds the digests of its large files."""
    return rules.build_scene_cache.output.manifest.format(
        scenes=wildcards.scenes,
        fingerprint=fingerprint(image_definition(study.scenes(wildcards.scenes))),
    )


def detector_settings(wildcards):
    """What a detector and its detections depend on, beside backbone and scenes."""
    scenes = study.scenes(wildcards.scenes)
    recipe = detector_recipe(study.settings["detect"], scenes, wildcards.detector)
    return recipe | {"dataset": wildcards.scenes, "seed": int(wildcards.seed)}


def precision_settings(wildcards):
    """What the scores of detections depend on, beside the detections."""
    confidence = study.settings["analysis"]["confidence"]
    return {
        "resamples": study.settings["detect"]["resamples"],
        "confidence": confidence,
    }


def of_detectors(pattern, seeds=study.settings["detect"]["seeds"]):
    """Fill a pattern for every detector of the study and every seed."""
    return [
        pattern.format(
            backbone=cell.backbone.name,
            scenes=cell.dataset,
            detector=cell.detector,
            seed=seed,
        )
        for cell in study.detectors
        for seed in seeds
    ]


def shown_detectors(pattern):
    """Fill a pattern for the first seed of every detector: those that a figure shows."""
    return of_detectors(pattern, study.settings["detect"]["seeds"][:1])
