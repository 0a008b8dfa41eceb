"""A study packed for a reviewer: an RO-Crate of code, config, records, tables and report.

What is large is left out and known by its SHA-256; the audit runs on the rest wherever it is
unpacked (`python -m robust_transfer.audit`).

Source: RO-Crate 1.1 and the Workflow Run Crate profile 0.5, https://w3id.org/ro/wfrun/workflow.
"""

import dataclasses
import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robust_transfer.audit.evidence import Evidence
from robust_transfer.audit.plan import Plan, save_plan
from robust_transfer.files import whole_file
from robust_transfer.records.provenance import record_path

#: Outputs by name that a bundle holds the digest of alone: weights, pixels and features.
BY_HASH = ("weights", "last", "images", "features")
#: What the code consists of, beside the entry that starts the workflow.
CODE = (
    "config.yaml", "rules", "workflow_scripts", "envs", "profiles", "slurm", "studies", "docs",
    "Makefile", "README.md", "LICENSE", "CITATION.cff", "CHANGELOG.md",
)  # fmt: skip
PROFILES = (
    "https://w3id.org/ro/wfrun/process/0.5",
    "https://w3id.org/ro/wfrun/workflow/0.5",
    "https://w3id.org/workflowhub/workflow-ro-crate/1.0",
)


def write_bundle(
    to: str | Path,
    plan: Plan,
    *,
    audit_files: Sequence[str],
    root: Path,
    code: Path,
    entry: str,
    language: str,
) -> None:
    """Pack a study.

    Args:
        to: a .zip file.
        plan: of the study.
        audit_files: paths of verdict, page and plan; the plan in the bundle also says what was
            left out.
        root: the folder that paths of the plan are relative to.
        code: the folder that holds `workflow_scripts`.
        entry: the file in `code` that the workflow starts from.
        language: of the workflow, as RO-Crate spells it.
    """
    from rocrate.rocrate import ROCrate  # only a bundle needs it

    evidence = Evidence(plan, root, code)
    by_hash = {
        path: evidence.hashes[path]
        for job in plan.jobs
        for name in BY_HASH
        for path in job.outputs.get(name, [])
        if path in evidence.hashes
    }
    crate = ROCrate()
    crate.name = f"Study {plan.study}"
    crate.description = f"{plan.config['report']['title']}: code, config, records and results."
    with tempfile.TemporaryDirectory() as name:
        kept = Path(name) / "plan.json"
        save_plan(kept, dataclasses.replace(plan, by_hash=by_hash))
        entities = _add_results(crate, evidence, by_hash, audit_files, kept)
        _add_code(crate, code)
        _describe_run(crate, evidence, entities, code / entry, language)
        with whole_file(to) as beside:
            crate.write_zip(beside)


def _add_results(
    crate: Any, evidence: Evidence, by_hash: dict[str, str], audit_files: Sequence[str], plan: Path
) -> dict[str, Any]:
    """Add every file of the study that is here and small; return the entities by path."""
    entities: dict[str, Any] = {}
    needed = {path for job in evidence.plan.jobs for path in (*job.files, *job.needed)}
    for path in sorted(needed):
        where = evidence.path(path)
        record = record_path(where)
        if record.is_file():
            crate.add_file(str(record), dest_path=f"{path}{record.name[len(where.name) :]}")
        if path in by_hash:
            identity = f"urn:hash::sha256:{by_hash[path]}"
            said = {"@type": "CreativeWork", "name": path, "sha256": by_hash[path]}
            entities[path] = crate.add(_context(crate, identity, said))
        elif where.is_file():
            said = {"sha256": evidence.hashes[path], "contentSize": str(where.stat().st_size)}
            entities[path] = crate.add_file(str(where), dest_path=path, properties=said)
    for path in (*audit_files, *evidence.plan.claims):
        source = plan if path.endswith("plan.json") else evidence.path(path)
        if source.is_file():
            entities[path] = crate.add_file(str(source), dest_path=path)
    return entities


def _add_code(crate: Any, code: Path) -> None:
    """Add the code, file by file, without what Python leaves behind."""
    for part in CODE:
        files = [code / part] if (code / part).is_file() else sorted((code / part).rglob("*"))
        for file in files:
            if file.is_file() and "__pycache__" not in file.parts:
                crate.add_file(str(file), dest_path=file.relative_to(code).as_posix())


def _describe_run(
    crate: Any, evidence: Evidence, entities: dict[str, Any], entry: Path, language: str
) -> None:
    """Say in the words of the profile what ran, on what, with what result."""
    plan = evidence.plan
    workflow = crate.add_workflow(str(entry), dest_path=entry.name, main=True, lang=language)
    told = [record for job in plan.jobs if (record := evidence.record(job))]
    external = [path for job in plan.jobs for path in job.needed if path not in plan.maker]
    said = {
        "@type": "CreateAction",
        "name": f"Study {plan.study}",
        "instrument": {"@id": workflow.id},
        "object": [
            {"@id": entities[path].id} for path in sorted(set(external)) if path in entities
        ],
        "result": [{"@id": entities[path].id} for path in plan.maker if path in entities],
        "actionStatus": {"@id": "http://schema.org/CompletedActionStatus"},
        "description": json.dumps(plan.config),
    }
    if told:
        said["startTime"] = min(record["start"] for record in told)
        said["endTime"] = max(record["end"] for record in told)
    action = crate.add(_context(crate, f"#study-{plan.study}", said))
    crate.root_dataset.append_to("mentions", action)
    for profile in PROFILES:
        version = profile.rsplit("/", 1)[-1]
        named = {"@type": "CreativeWork", "name": profile, "version": version}
        crate.root_dataset.append_to("conformsTo", crate.add(_context(crate, profile, named)))


def _context(crate: Any, identity: str, properties: dict[str, Any]) -> Any:
    from rocrate.model.contextentity import ContextEntity

    return ContextEntity(crate, identity, properties=properties)
