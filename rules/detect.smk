# Backbone + scenes (images with boxes, maybe masks) -> detectors, and their average precision.


rule build_scene_cache:
    """Decode images and their boxes and masks once, into a memory-mapped cache."""
    output:
        images=f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/images.npy",
        shapes=f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/shapes.npy",
        objects=f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/objects.npz",
        files=f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/files.csv",
        manifest=f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/manifest.json",
    log:
        f"{CACHE}/{{scenes}}-{{fingerprint}}/scenes/build_scene_cache.log",
    conda:
        "../envs/analysis.yaml"
    params:
        settings=scene_settings,
        code=code_digest("detect/build_scene_cache.py"),
    script:
        "../workflow_scripts/detect/build_scene_cache.py"


rule train_detector:
    """Train a detector on a backbone, and store what it finds in every test image."""
    input:
        weights=weights_of,
        scenes=scenes_of,
    output:
        detections=f"{DETECTOR}/seed{{seed}}/detections.npz",
        history=f"{DETECTOR}/seed{{seed}}/history.csv",
        about=f"{DETECTOR}/seed{{seed}}/detector.json",
    log:
        f"{DETECTOR}/seed{{seed}}/train_detector.log",
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,  # more in the profile: torchrun then starts one process for each
    params:
        settings=detector_settings,
        code=code_digest("detect/train_detector.py"),
    script:
        "../workflow_scripts/detect/train_detector.py"


rule score_detections:
    """Average precision by COCO's and VOC's rules, with intervals over images; no GPU."""
    input:
        scenes=scenes_of,
        detections=rules.train_detector.output.detections,
        about=rules.train_detector.output.about,
    output:
        scores=f"{DETECTOR}/seed{{seed}}/scores.json",
        shown=f"{DETECTOR}/seed{{seed}}/examples.npz",
    log:
        f"{DETECTOR}/seed{{seed}}/score_detections.log",
    conda:
        "../envs/analysis.yaml"
    params:
        settings=precision_settings,
        code=code_digest("detect/score_detections.py"),
    script:
        "../workflow_scripts/detect/score_detections.py"
