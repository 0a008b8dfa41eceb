# Backbone + dataset cache -> predictions of every test image, all seeds of a cell in one job;
# features that several of these jobs read are computed by one of their own.


rule extract_features:
    """Features of all images of a dataset from a frozen backbone, for all jobs that read them."""
    input:
        weights=weights_of,
        cache=lambda wildcards: cache_of(wildcards.dataset, wildcards.resolution),
    output:
        features=f"{RESULTS}/transfer/{{backbone}}/{{dataset}}/{{resolution}}/features.npy",
        about=f"{RESULTS}/transfer/{{backbone}}/{{dataset}}/{{resolution}}/features.json",
    log:
        f"{RESULTS}/transfer/{{backbone}}/{{dataset}}/{{resolution}}/extract_features.log",
    group:
        features_go_with_probes
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,
    params:
        settings=features_settings,
        code=code_digest("transfer/extract_features.py"),
    script:
        "../workflow_scripts/transfer/extract_features.py"


rule transfer_backbone:
    """Adapt one backbone to one dataset: its head only (fixed) or all weights (full)."""
    input:
        weights=weights_of,
        cache=lambda wildcards: cache_of(wildcards.dataset, wildcards.resolution),
        features=kept_features_of,
    output:
        predictions=expand(
            f"{CELL}/seed{{seed}}/predictions.npz",
            seed=study.transfer_seeds,
            allow_missing=True,
        ),
        records=expand(
            f"{CELL}/seed{{seed}}/transfer.json",
            seed=study.transfer_seeds,
            allow_missing=True,
        ),
    log:
        f"{CELL}/transfer_backbone.log",
    group:
        transfers_that_go_together
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,
    params:
        settings=transfer_settings,
        code=code_digest("transfer/transfer_backbone.py"),
    script:
        "../workflow_scripts/transfer/transfer_backbone.py"
