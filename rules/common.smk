# Reads config.yaml -> `study`, checked, and what every stage needs to name its files.
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.iocontainers import Wildcards

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from robust_transfer.config.check import check_config, what_is_missing
from robust_transfer.config.grid import NO_SOURCE
from robust_transfer.config.transfer_recipes import cell_of, recipe_of
from robust_transfer.errors import UserError
from robust_transfer.images.fingerprint import fingerprint
from robust_transfer.records.digests import MEMORY, Code

# glibc gives large blocks back to the system at once and asks for them again: page faults took
# 10 to 17% of a training step on a CPU. Jobs inherit this.
os.environ.setdefault("MALLOC_MMAP_THRESHOLD_", "1000000000")
os.environ.setdefault("MALLOC_TRIM_THRESHOLD_", "10000000000")
# Threads that wait for each other sleep, not spin: beside other jobs on its CPUs, a small network's
# training took nine times as long with two spinning threads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# A plan needs no data: a dry run says what is missing and goes on.
PLANNING = workflow.output_settings.dryrun
try:
    if PLANNING and workflow.is_main_process:
        print(*what_is_missing(config), sep="\n", end="", file=sys.stderr)
    study = check_config(config, data_root_must_exist=not PLANNING)
except UserError as error:
    raise WorkflowError(str(error)) from None

RESULTS = f"results/{study.name}"
DATA = study.settings["data_root"]
CACHE = study.settings["cache_root"]
CELL = (
    f"{RESULTS}/transfer/{{backbone}}/{{dataset}}/{{resolution}}/"
    "{mode}/{protocol}/{variant}"
)


wildcard_constraints:
    backbone="[^/]+",
    dataset="[^/-]+",
    kind="[a-z0-9_]+",
    file="[^/]+",
    fingerprint="[0-9a-f]{8}",
    resolution="native|[0-9]+",
    mode="fixed|full",
    protocol="clean|paper",
    variant="all|labels[0-9]+|blocks[0-9]+",
    seed="[0-9]+",


SCRIPTS = Path(workflow.basedir) / "workflow_scripts"
# Jobs, which read these rules again, inherit where to look up what each file of code says.
CODE = Code(SCRIPTS, Path(os.environ.setdefault(MEMORY, ".snakemake/code.json")))


def code_digest(script):
    """Digest of a script and of all project modules that it imports: a rule's `code`."""
    try:
        return CODE.digest(SCRIPTS / script)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def remember_code():
    """Keep what all files of code say, for the jobs of this run and for the next one."""
    if workflow.is_main_process:
        CODE.remember()


def cache_settings(wildcards):
    """What a cache depends on."""
    data = study.settings["data"]
    kept = ("on_bad_image", "native_short_side")
    return {
        "dataset": study.image_definition(wildcards.dataset),
        "data_root": study.settings["data_root"],
        **{key: data[key] for key in kept},
    }


def fetched_record(wildcards):
    """Name the record of a download, for a dataset that the config asks to be fetched."""
    dataset = study.dataset(wildcards.dataset)
    wanted = [dataset["kind"]] if dataset.get("download") else []
    return expand(rules.fetch_dataset.output.record, kind=wanted)


def cache_of(dataset, resolution):
    """Name one cache by its manifest, which holds the digests of its large files.

    The fingerprint keeps other definitions apart.
    """
    manifest = rules.build_image_cache.output.manifest.format(
        dataset=dataset,
        fingerprint=fingerprint(study.image_definition(dataset)),
        resolution=resolution,
    )
    return [manifest]


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


def of_cells(patterns, cells=study.cells):
    """Fill patterns for cells of the study; a grid has thousands, so `expand` is too slow."""
    keys = ("dataset", "resolution", "mode", "protocol", "variant")
    return [
        pattern.format(
            backbone=cell.backbone.name, **{key: getattr(cell, key) for key in keys}
        )
        for cell in cells
        for pattern in patterns
    ]


def of_main_cells(patterns):
    """Fill patterns for the cells that statistics count: all labels, no control."""
    return of_cells(patterns, [cell for cell in study.cells if cell.is_main])


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


def jobs_of_study():
    """Every job that the study consists of: its files and parameters, for the audit."""
    makers = [rule for rule in workflow.rules if rule.has_products() and rule.script]
    jobs, known = [], set()
    waiting = list(workflow.get_rule("all").input)
    while waiting:
        path = waiting.pop()
        maker = next((rule for rule in makers if rule.is_producer(path)), None)
        if path in known or maker is None:
            continue
        wildcards = Wildcards(fromdict=maker.get_wildcards(path))
        inputs, *_ = maker.expand_input(wildcards)
        outputs, _ = maker.expand_output(wildcards)
        params, _ = maker.expand_params(wildcards, inputs, outputs, None)
        files = [*inputs.items(), *outputs.items()]
        jobs.append(
            {
                "rule": maker.name,
                "script": f"{Path(maker.snakefile).stem}/{maker.name}.py",
                "wildcards": dict(wildcards.items()),
                "inputs": {name: listed(paths) for name, paths in inputs.items()},
                "outputs": {name: listed(paths) for name, paths in outputs.items()},
                "lone": [name for name, paths in files if isinstance(paths, str)],
                "params": dict(params.items()),
            }
        )
        known.update(outputs)
        waiting += inputs
    return jobs


def listed(paths):
    """One path or several, as a list of plain strings."""
    return [str(path) for path in ([paths] if isinstance(paths, str) else paths)]


def study_plan(wildcards):
    """What the audit holds results against: config, claims and every job."""
    return {
        "study": study.name,
        "results": RESULTS,
        "claims": study.audit["claims"],
        "config": study.settings,
        "handle": "snakemake",
        "jobs": jobs_of_study(),
    }


def replay_draw(wildcards):
    """Which jobs a replay runs again: named ones, or a draw by cost and seed."""
    return {
        "wanted": study.audit["replay"],
        "seconds": study.audit["replay_seconds"],
        "seed": study.audit["replay_seed"],
    }


def what_is_left(wildcards):
    """How the audit asks the workflow what it would do: by a dry run of the same study."""
    given = workflow.config_settings
    overlays = [str(path) for path in given.configfiles]
    values = [f"{key}={json.dumps(value)}" for key, value in given.config.items()]
    words = [sys.executable, "-m", "snakemake", "--dry-run", "--nolock", "--cores", "1"]
    words += ["--snakefile", workflow.main_snakefile]
    words += ["--configfile", *overlays] if overlays else []
    words += ["--config", *values] if values else []
    return {
        "command": words,
        "idle": "Nothing to be done",
        "doubts": "missing provenance",
    }
