# Original images, or the toy world's recipe -> image caches, one a dataset and resolution.


rule fetch_dataset:
    """Download and unpack a published dataset, where a download still exists."""
    output:
        record=f"{DATA}/.fetched/{{kind}}/found.json",
    log:
        f"{DATA}/.fetched/{{kind}}/fetch_dataset.log",
    localrule: True
    conda:
        "../envs/analysis.yaml"
    params:
        settings={"data_root": DATA},
        code=code_digest("data/fetch_dataset.py"),
    script:
        "../workflow_scripts/data/fetch_dataset.py"


rule build_image_cache:
    """Decode and resize a dataset once, into a memory-mapped cache that studies share."""
    input:
        fetched=fetched_record,
    output:
        images=f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/images.npy",
        shapes=f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/shapes.npy",
        labels=f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/labels.npy",
        files=f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/files.csv",
        manifest=f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/manifest.json",
    log:
        f"{CACHE}/{{dataset}}-{{fingerprint}}/{{resolution}}/build_image_cache.log",
    conda:
        "../envs/analysis.yaml"
    params:
        settings=cache_settings,
        listing=images_listed,
        code=code_digest("data/build_image_cache.py"),
    script:
        "../workflow_scripts/data/build_image_cache.py"
