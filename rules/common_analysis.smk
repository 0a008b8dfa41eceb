# What the statistics depend on, and the datasets whose granularity is measured.


def analysis_settings(wildcards):
    """What the statistics depend on, beside the accuracies."""
    kept = ("confidence", "tests")
    return {key: study.settings["analysis"][key] for key in kept}


def confidence_settings(wildcards):
    """What statistics without a choice of their own depend on."""
    return {"confidence": study.settings["analysis"]["confidence"]}


def equivalence_settings(wildcards):
    """What the tests of equivalence depend on."""
    analysis = study.settings["analysis"]
    kept = {key: analysis[key] for key in ("confidence", "placebo_epsilon")}
    return kept | {"bound": analysis["equivalence_bound"]}


def of_measured_datasets(pattern):
    """Fill a pattern for every dataset and resolution whose granularity is measured."""
    return [
        path
        for dataset, resolution in study.targets
        if study.measuring_backbone
        for path in expand(
            pattern,
            backbone=study.measuring_backbone.name,
            dataset=dataset,
            resolution=resolution,
        )
    ]


def measured_caches(wildcards):
    """Name the caches of these datasets."""
    return [
        path
        for dataset, resolution in study.targets
        if study.measuring_backbone
        for path in cache_of(dataset, resolution)
    ]


def measured_cache_folders(wildcards):
    """Return the folder of each cache, in the order of the features."""
    return [str(Path(path).parent) for path in measured_caches(wildcards)]
