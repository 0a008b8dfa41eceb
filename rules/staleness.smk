# What is stale: files against their records before a run, and `snakemake why`.
#
# Snakemake compares file times first and keeps what it knows in .snakemake, which a clone has not.
# Here the record beside each output (<output>.prov.json) decides: Snakemake's own notes are
# restored from it, times are put right, and an output that is not what its record says is marked,
# so that its job runs again. What was read once is remembered in .snakemake/ledger.json.
import json
import logging
import shlex

from snakemake.persistence import RECORD_FORMAT_VERSION
from snakemake.persistence.file import FilePersistence

from robust_transfer.records.controller import all_are_gone, sign_in
from robust_transfer.records.folders import listing_digest
from robust_transfer.records.ledger import Ledger
from robust_transfer.records.settle import settle
from robust_transfer.records.why import Evidence, PlannedJob, explain_plan

NOTES = Path(".snakemake")
MARKED = NOTES / "unsound.json"
WHY = "ROBUST_TRANSFER_WHY"  # set in the dry run behind `snakemake why`


def restored(record):
    """What Snakemake would have noted about an output, from the output's own record."""
    return {
        "rule": record["rule"],
        "input": sorted(each["path"] for each in record["inputs"]),
        "params": sorted(repr(value) for value in record["params"].values()),
        "record_format_version": RECORD_FORMAT_VERSION,
        "starttime": None,
        "endtime": None,
        "incomplete": False,
        "input_checksums": {
            each["path"]: f"sha256:{each['sha256']}" for each in record["inputs"]
        },
    }


def restore_notes(notes, fresh):
    """Give Snakemake the notes that it lacks, or that speak of another making of the file."""
    for output, record in fresh.items():
        note = restored(record)
        known = notes._io_read(notes._metadata_path, output)
        if any(known.get(key) != note[key] for key in ("rule", "input", "params")):
            notes._io_write(notes._metadata_path, note, output)


def mark(notes, unsound):
    """Mark what must be made again; take back older marks of ours that no longer hold."""
    before = marked()
    for output in set(before) - set(unsound):
        notes._unmark_incomplete(output)
    for output in set(unsound) - set(before):
        notes._mark_incomplete(output, None)
    if before != unsound:
        MARKED.write_text(json.dumps(unsound))


def marked():
    """What we marked as unsound, each with why, in words."""
    return json.loads(MARKED.read_text()) if MARKED.exists() else {}


def unlock_after_a_kill():
    """Take away the lock of a run that was killed, so that the same command just goes on."""
    if workflow.is_main_process:
        if all_are_gone(NOTES / "controllers"):
            for lock in NOTES.glob("locks/*.lock"):
                lock.unlink(missing_ok=True)
        sign_in(NOTES / "controllers")


def settle_files():
    """Compare all files with their records, once a run, unless another run is at work here."""
    if not workflow.is_main_process or any(NOTES.glob("locks/*.lock")):
        return
    ledger = Ledger(NOTES / "ledger.json")
    found = settle([RESULTS, CACHE], ledger, complete=[CACHE])
    notes = FilePersistence(nolock=True)
    restore_notes(notes, found.fresh)
    mark(notes, found.unsound)
    ledger.save()


def images_listed(wildcards):
    """What lies in the folder of a dataset, by name and size: images that come or go count."""
    dataset = study.image_definition(wildcards.dataset)
    if dataset["kind"] != "folder":
        return None
    ledger = Ledger(NOTES / "ledger.json")
    folder = Path(study.settings["data_root"]) / dataset["path"]
    digest = listing_digest(str(folder), ledger)
    if workflow.is_main_process:
        ledger.save()
    return digest


def planned_jobs():
    """The jobs that would run, as `why` reads them."""
    modules = {}
    stale = set(workflow.dag.needrun_jobs())
    levels = workflow.dag.toposorted()
    for job in (job for level in levels for job in sorted(level, key=str)):
        if job not in stale or not job.output:
            continue
        if job.rule.name not in modules:
            script = SCRIPTS / Path(job.rule.script).relative_to("../workflow_scripts")
            modules[job.rule.name] = CODE.modules(script)
        reason = workflow.dag.reason(job)
        yield PlannedJob(
            job.rule.name,
            outputs=tuple(map(str, job.output)),
            inputs=tuple(map(str, job.input)),
            params=dict(job.params.items()),
            modules=modules[job.rule.name],
            made_again=tuple(map(str, reason.updated_input_run)),
            forced=bool(reason.forced),
        )


class Explanation(logging.Handler):
    """Prints why, in words, once Snakemake has found out what would run."""

    def emit(self, record):
        if record.getMessage().startswith(("Nothing to be done", "Job stats")):
            logging.getLogger("snakemake.logging").removeHandler(self)
            digest = Ledger(NOTES / "ledger.json").sha256
            evidence = Evidence(marked(), digest, study.settings)
            print(explain_plan(planned_jobs(), evidence), file=sys.stderr, flush=True)


def dry_run_command():
    """The dry run of this study that `why` explains."""
    words = [sys.executable, "-m", "snakemake", "all", "--dry-run", "--nolock"]
    words += [
        "--snakefile",
        str(workflow.main_snakefile),
        "--quiet",
        "rules",
        "progress",
    ]
    if workflow.overwrite_configfiles:
        words += ["--configfile", *map(str, workflow.overwrite_configfiles)]
    if workflow.config_settings.config:
        given = workflow.config_settings.config.items()
        words += ["--config", *(f"{key}={json.dumps(value)}" for key, value in given)]
    return f"{WHY}=1 {shlex.join(words)}"


unlock_after_a_kill()
settle_files()
if os.environ.get(WHY) and workflow.is_main_process:
    logging.getLogger("snakemake.logging").addHandler(Explanation())
