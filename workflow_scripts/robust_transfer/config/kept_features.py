"""Which features of frozen backbones are kept on disk: those that several jobs read."""

from collections import Counter

from robust_transfer.config.study import Study

#: Backbone, dataset and resolution.
Place = tuple[str, str, str]


def kept_features(study: Study) -> dict[Place, bool]:
    """Return the places whose features a job of its own computes, for all jobs that read them.

    Args:
        study: its probes read features, and so does the measure of granularity.

    Returns:
        Place -> whether features of augmented views are kept too: where several probes read them,
        or all are kept. Granularity needs none.
    """
    probes = Counter(
        (cell.backbone.name, cell.dataset, cell.resolution)
        for cell in study.cells
        if (cell.mode, cell.protocol) == ("fixed", "clean")
    )
    always = study.settings["transfer"]["fixed"]["keep_features"] == "always"
    kept = {place: True for place, count in probes.items() if always or count > 1}
    if study.measuring_backbone:
        for target in study.targets:
            kept.setdefault((study.measuring_backbone.name, *target), False)
    return kept
