# What transfers are named by and depend on, and which of them go together on a cluster.
from robust_transfer.config.grid import NO_SOURCE
from robust_transfer.config.transfer_recipes import cell_of, recipe_of


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


def transfers_that_go_together(wildcards):
    """Name the group of a transfer: its backbone's of this kind; the profile says how large."""
    # Protocol paper trains for hours in mode fixed too.
    quick = (wildcards.mode, wildcards.protocol) == ("fixed", "clean")
    kind = "fixed" if quick else "full"
    group = f"{kind}_{wildcards.backbone}"
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
