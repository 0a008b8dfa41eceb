# What backbones are named by and depend on.
from dataclasses import asdict

from robust_transfer.config.grid import NO_SOURCE


def source_cache(wildcards):
    """Name the files of the source's cache."""
    pretrain = study.settings["pretrain"]
    return cache_of(pretrain["source"], pretrain["resolution"])


def pretrain_settings(wildcards):
    """What a backbone depends on, beside its source's images."""
    pretrain = study.settings["pretrain"]
    backbone = study.backbone(wildcards.backbone)
    return {
        "backbone": asdict(backbone) | {"name": backbone.name},
        "image_size": pretrain["image_size"],
        "recipe": pretrain["recipe"],
    }


def evaluation_settings(wildcards):
    """What the scores and examples of a backbone depend on, beside its weights."""
    return {
        "evaluation": study.settings["pretrain"]["evaluation"],
        "example_images": study.settings["report"]["example_images"],
    }


def made_by(backbone):
    """Return the outputs of the rule that makes a backbone."""
    if backbone in study.imported:
        return rules.import_backbone.output
    if study.backbone(backbone).source == NO_SOURCE:
        return rules.initialise_backbone.output
    return rules.pretrain_backbone.output


def weights_of(wildcards):
    """Name the weights of a backbone, trained here or imported."""
    return made_by(wildcards.backbone).weights.format(backbone=wildcards.backbone)


def cost_of(wildcards):
    """Name the record of what a backbone took to make."""
    return made_by(wildcards.backbone).cost.format(backbone=wildcards.backbone)


def checkpoint_of(wildcards):
    """Name the checkpoint that a backbone is imported from; one on the web is fetched."""
    weights = study.imported[wildcards.backbone]
    name = (weights["url"] or "torchvision.pth").rpartition("/")[2]
    return weights["path"] or expand(
        rules.fetch_checkpoint.output.checkpoint,
        backbone=wildcards.backbone,
        file=name,
    )


def checkpoint_settings(wildcards):
    """Which checkpoint is fetched."""
    weights = study.imported[wildcards.backbone]
    kept = {key: weights[key] for key in ("url", "sha256")}
    return kept | {"architecture": study.backbone(wildcards.backbone).architecture}


def initial_settings(wildcards):
    """What a backbone that is never trained depends on."""
    backbone = study.backbone(wildcards.backbone)
    return {
        "backbone": asdict(backbone) | {"name": backbone.name},
        "image_size": study.settings["pretrain"]["image_size"],
    }


def import_settings(wildcards):
    """What an imported backbone depends on, beside the checkpoint."""
    weights = study.imported[wildcards.backbone]
    return initial_settings(wildcards) | {"weights": weights}


def trained_here(pattern):
    """Fill a pattern for every backbone that the study trains."""
    names = [backbone.name for backbone in study.backbones]
    return expand(
        pattern, backbone=[name for name in names if name not in study.imported]
    )


def scored_here(pattern):
    """Fill a pattern for every backbone that the study scores on the source."""
    checked = [name for name, weights in study.imported.items() if weights["check"]]
    return trained_here(pattern) + expand(pattern, backbone=checked)


def records_of_backbones():
    """Name the record of every backbone: how good it is on its source."""
    published = [name for name, each in study.imported.items() if not each["check"]]
    untrained = [backbone.name for backbone in study.controls]
    return [
        *scored_here(rules.evaluate_backbone.output.record),
        *expand(rules.import_backbone.output.record, backbone=published),
        *expand(rules.initialise_backbone.output.record, backbone=untrained),
    ]
