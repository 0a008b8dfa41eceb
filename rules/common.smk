# Reads config.yaml -> `study`, checked, and names what several stages read. Each stage has more of
# its own in common_<stage>.smk: Snakemake's linter wants functions apart from rules.
import functools
import json
import os
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.utils import available_cpu_count

sys.path.insert(0, str(Path(workflow.basedir) / "workflow_scripts"))

from robust_transfer.config.check import check_config, what_is_missing
from robust_transfer.errors import UserError
from robust_transfer.images.fingerprint import fingerprint
from robust_transfer.job_environment import job_environment
from robust_transfer.records.digests import MEMORY, Code

# Jobs inherit this. Where a scheduler gives each job CPUs of its own (`--jobs`, as Snakemake asks for
# there and only there), they are not crowded.
LIMITS = workflow.resource_settings
CROWDED = LIMITS.nodes is None and (LIMITS.cores or 1) > available_cpu_count()
os.environ.update(job_environment(os.environ, crowded=CROWDED))

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


@functools.cache  # a grid asks for each of a few dozen once a transfer
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
