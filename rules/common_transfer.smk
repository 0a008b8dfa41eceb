# What transfers are named by and depend on, and which of them go together on a cluster.
from robust_transfer.config.grid import NO_SOURCE
from robust_transfer.config.kept_features import kept_features
from robust_transfer.config.transfer_recipes import cell_of, recipe_of

KEPT = kept_features(study)


def transfer_settings(wildcards):
    """What a cell's predictions depend on, beside weights and images."""
    transfer = study.settings["transfer"]
    dataset = study.dataset(wildcards.dataset)
    keys = ("dataset", "resolution", "mode", "protocol", "variant")
    return {
        "cell": cell_of({key: wildcards[key] for key in keys}, dataset["metric"]),
        "recipe": recipe_of(
            transfer,
            mode=wildcards.mode,
            protocol=wildcards.protocol,
            control=study.backbone(wildcards.backbone).source == NO_SOURCE,
            kind=dataset["kind"],
        ),
        "seeds": transfer["seeds"],
    }


def is_probe(wildcards):
    """Tell whether a transfer reads features, and so takes moments."""
    # Protocol paper trains for hours in mode fixed too.
    return (wildcards.mode, wildcards.protocol) == ("fixed", "clean")


def kept_features_of(wildcards):
    """Name the features of a probe, where they are kept, by their record.

    It holds the digest of the large file, so that none has to be read to know whether it is new.
    """
    place = (wildcards.backbone, wildcards.dataset, wildcards.resolution)
    if place not in KEPT or not is_probe(wildcards):
        return []
    return [rules.extract_features.output.about.format(**wildcards)]


def features_settings(wildcards):
    """What features depend on, beside weights and images: views, where they are kept too."""
    transfer = study.settings["transfer"]
    place = (wildcards.backbone, wildcards.dataset, wildcards.resolution)
    views = KEPT.get(place, False) * transfer["fixed"]["augmented_views"]
    return {
        "seeds": transfer["seeds"] if views else [],
        "augmented_views": views,
        "augmentation": transfer["fixed"]["augmentation"] if views else "none",
    }


def transfers_that_go_together(wildcards):
    """Name the group of a transfer: its backbone's of this kind; the profile says how large."""
    return group_of("fixed" if is_probe(wildcards) else "full", wildcards.backbone)


def features_go_with_probes(wildcards):
    """Name the group of features: that of the probes on them."""
    return group_of("fixed", wildcards.backbone)


def group_of(kind, backbone):
    """Name a group, and say of which kind it is."""
    group = f"{kind}_{backbone}"
    workflow.parent_groupids[group] = kind
    return group


def of_cells(patterns):
    """Fill patterns for the cells of the study; a grid has thousands, so `expand` is too slow."""
    keys = ("dataset", "resolution", "mode", "protocol", "variant")
    return [
        pattern.format(
            backbone=cell.backbone.name, **{key: getattr(cell, key) for key in keys}
        )
        for cell in study.cells
        for pattern in patterns
    ]
