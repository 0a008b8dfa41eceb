# What the report shows: tables, commands, exported models.
from snakemake.iocontainers import Wildcards


def export_settings(wildcards):
    """What an exported model depends on, beside weights, images and what was recommended."""
    place = {key: wildcards[key] for key in ("dataset", "resolution")}
    place |= {"protocol": "clean", "variant": "all"}
    any_backbone = {"backbone": study.backbones[0].name}
    modes = {
        mode: transfer_settings(
            Wildcards(fromdict=place | any_backbone | {"mode": mode})
        )
        for mode in study.settings["transfer"]["modes"]
    }
    side = study.settings["data"]["native_short_side"]
    return {"settings": modes, "native_short_side": side}


def weights_of_all(wildcards):
    """Name the weights of every backbone: which one is exported, validation says."""
    return [
        made_by(backbone.name).weights.format(backbone=backbone.name)
        for backbone in study.backbones
    ]


def transfers_to(pattern):
    """Return a function that names a file of every transfer that an export chooses from."""

    def names(wildcards):
        return expand(
            pattern,
            backbone=[backbone.name for backbone in study.backbones],
            mode=study.settings["transfer"]["modes"],
            dataset=wildcards.dataset,
            resolution=wildcards.resolution,
            protocol="clean",
            variant="all",
        )

    return names


def exported(name):
    """Name a file of every exported model: of each target, where the study asks for them."""
    wanted = study.targets if study.settings["report"]["export"] else []
    pattern = rules.export_model.output[name]
    return [
        pattern.format(dataset=dataset, resolution=resolution)
        for dataset, resolution in wanted
    ]


def result_tables():
    """Name the tables that figures and report are made from."""
    return {
        "recommendation": rules.recommend_backbone.output.recommendation,
        "headline": rules.compare_best.output.headline,
        "welch_selected": rules.test_robust_against_standard.output.selected,
        "welch": rules.test_robust_against_standard.output.welch,
        "equivalence": rules.test_equivalence.output.equivalence,
        "pearson": rules.correlate.output.pearson,
        "mixed_effects": rules.fit_mixed_model.output.effects,
        "mixed_diagnostics": rules.fit_mixed_model.output.diagnostics,
        "granularity": rules.measure_granularity.output.granularity,
        "granularity_points": rules.predict_best_epsilon.output.points,
        "granularity_prediction": rules.predict_best_epsilon.output.predictions,
        "accuracy": rules.tabulate_accuracy.output.accuracy,
        "robust_accuracy": rules.tabulate_accuracy.output.robustness,
        "detection": rules.tabulate_detection.output.detection,
    }


def commands():
    """What to type to make each thing of the report again."""
    # Targets come first: --configfile takes all the words that follow it.
    overlays = [os.path.relpath(path) for path in workflow.overwrite_configfiles]
    chosen = f" --configfile {' '.join(overlays)}" if overlays else ""
    targets = result_tables() | {"figures": "draw_figures", "report": "write_report"}
    return {
        name: f"snakemake --cores 2 {target}{chosen}"
        for name, target in targets.items()
    }
