# Source cache -> backbones, standard and robust, and how good they are on their source.


rule pretrain_backbone:
    """Train one backbone on the source; epsilon above 0: on PGD-perturbed images."""
    input:
        cache=source_cache,
    output:
        weights=f"{RESULTS}/pretrain/{{backbone}}/weights.safetensors",
        last=f"{RESULTS}/pretrain/{{backbone}}/last.safetensors",
        history=f"{RESULTS}/pretrain/{{backbone}}/history.csv",
        cost=f"{RESULTS}/pretrain/{{backbone}}/cost.json",
    log:
        f"{RESULTS}/pretrain/{{backbone}}/pretrain_backbone.log",
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,  # more in the profile: torchrun then starts one process for each
        images_on_device_mb=study.settings["pretrain"]["images_on_device_mb"],
    params:
        settings=pretrain_settings,
        code=code_digest("pretrain/pretrain_backbone.py"),
    script:
        "../workflow_scripts/pretrain/pretrain_backbone.py"


rule fetch_checkpoint:
    """Download a checkpoint that others have trained."""
    output:
        checkpoint=f"{CACHE}/checkpoints/{{backbone}}/{{file}}",
    log:
        f"{CACHE}/checkpoints/{{backbone}}/{{file}}.log/fetch_checkpoint.log",
    localrule: True
    conda:
        "../envs/torch.yaml"
    params:
        settings=checkpoint_settings,
        code=code_digest("pretrain/fetch_checkpoint.py"),
    script:
        "../workflow_scripts/pretrain/fetch_checkpoint.py"


rule import_backbone:
    """Convert a checkpoint of others, safely read, to a backbone of ours."""
    input:
        checkpoint=checkpoint_of,
    output:
        weights=f"{RESULTS}/imported/{{backbone}}/weights.safetensors",
        record=f"{RESULTS}/imported/{{backbone}}/backbone.json",
        cost=f"{RESULTS}/imported/{{backbone}}/cost.json",
    log:
        f"{RESULTS}/imported/{{backbone}}/import_backbone.log",
    conda:
        "../envs/torch.yaml"
    params:
        settings=import_settings,
        code=code_digest("pretrain/import_backbone.py"),
    script:
        "../workflow_scripts/pretrain/import_backbone.py"


rule initialise_backbone:
    """Draw a backbone that is never trained: the control of what pretraining gives at all."""
    output:
        weights=f"{RESULTS}/controls/{{backbone}}/weights.safetensors",
        record=f"{RESULTS}/controls/{{backbone}}/backbone.json",
        cost=f"{RESULTS}/controls/{{backbone}}/cost.json",
    log:
        f"{RESULTS}/controls/{{backbone}}/initialise_backbone.log",
    conda:
        "../envs/torch.yaml"
    params:
        settings=initial_settings,
        code=code_digest("pretrain/initialise_backbone.py"),
    script:
        "../workflow_scripts/pretrain/initialise_backbone.py"


rule evaluate_backbone:
    """Score one backbone on its source, clean and under attack, and keep some examples."""
    input:
        weights=weights_of,
        cost=cost_of,
        cache=source_cache,
    output:
        record=f"{RESULTS}/pretrain/{{backbone}}/backbone.json",
        examples=f"{RESULTS}/pretrain/{{backbone}}/examples.npz",
    log:
        f"{RESULTS}/pretrain/{{backbone}}/evaluate_backbone.log",
    conda:
        "../envs/torch.yaml"
    resources:
        gpu=1,
        images_on_device_mb=study.settings["pretrain"]["images_on_device_mb"],
    params:
        settings=evaluation_settings,
        code=code_digest("pretrain/evaluate_backbone.py"),
    script:
        "../workflow_scripts/pretrain/evaluate_backbone.py"
