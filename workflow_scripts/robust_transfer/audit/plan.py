"""What a study should consist of: every job, its files and its parameters."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from robust_transfer.errors import DataError
from robust_transfer.files import write_json

SCHEMA_VERSION = 1


#: Outputs of jobs whose records are inputs, and stand for large files beside them.
DESCRIBED = frozenset({"manifest", "features"})


@dataclass(frozen=True)
class Job:
    """One job as rules and config ask for it today.

    Attributes:
        rule: its name.
        script: what it runs, relative to the code's folder `workflow_scripts`.
        wildcards: what tells it from other jobs of its rule.
        inputs: paths by name.
        outputs: paths by name.
        lone: names of inputs and outputs that are one path, not a list.
        params: parameters by name, builtins only.
    """

    rule: str
    script: str
    wildcards: dict[str, str]
    inputs: dict[str, list[str]]
    outputs: dict[str, list[str]]
    lone: list[str]
    params: dict[str, Any]

    @property
    def files(self) -> list[str]:
        """All outputs."""
        return [path for paths in self.outputs.values() for path in paths]

    @property
    def needed(self) -> list[str]:
        """All inputs."""
        return [path for paths in self.inputs.values() for path in paths]

    def as_given(self, name: str, paths: list[str]) -> str | list[str]:
        """Return the paths of a name as the rule gives them: one path, or a list."""
        return paths[0] if name in self.lone else paths

    @property
    def title(self) -> str:
        """Its name among all jobs."""
        return " ".join([self.rule, *(f"{k}={v}" for k, v in self.wildcards.items())])


@dataclass(frozen=True)
class Plan:
    """All jobs of a study.

    Attributes:
        study: its name.
        results: folder of its results.
        jobs: in no order.
        claims: files of claims.
        config: the whole config, for a reader.
        handle: the name under which a script finds its job.
        by_hash: files that are not here, only their SHA-256: path -> digest. Of a bundle.
    """

    study: str
    results: str
    jobs: tuple[Job, ...]
    claims: tuple[str, ...]
    config: dict[str, Any]
    handle: str
    by_hash: dict[str, str]

    @cached_property
    def maker(self) -> dict[str, Job]:
        """The job that makes each file."""
        return {path: job for job in self.jobs for path in job.files}

    def read_by(self, job: Job) -> list[str]:
        """All files that a job reads: its inputs, and what a record among them stands for."""
        makers = [self.maker.get(path) for path in job.needed]
        described = [path for maker in makers if maker and DESCRIBED & maker.outputs.keys()
                     for path in maker.files]  # fmt: skip
        return [*job.needed, *described]

    def with_output(self, *names: str) -> Iterator[Job]:
        """Yield the jobs that have outputs of all these names."""
        for job in self.jobs:
            if all(name in job.outputs for name in names):
                yield job


def make_plan(given: dict[str, Any]) -> Plan:
    """Make a plan of builtins, as rules give them or `save_plan` wrote them."""
    jobs = sorted(given["jobs"], key=lambda job: (job["rule"], sorted(job["wildcards"].items())))
    return Plan(
        study=given["study"],
        results=given["results"],
        jobs=tuple(Job(**job) for job in json.loads(json.dumps(jobs))),  # tuples become lists
        claims=tuple(given["claims"]),
        config=given["config"],
        handle=given["handle"],
        by_hash=dict(given.get("by_hash", {})),
    )


def save_plan(path: str | Path, plan: Plan) -> None:
    """Write a plan as JSON, whole or not at all."""
    kept = ("study", "results", "claims", "config", "handle", "by_hash")
    jobs = [vars(job) for job in plan.jobs]
    record = {key: getattr(plan, key) for key in kept}
    write_json(path, {"schema_version": SCHEMA_VERSION, **record, "jobs": jobs})


def load_plan(path: str | Path) -> Plan:
    """Read what `save_plan` wrote.

    Raises:
        DataError: there is no such file, or it is no plan.
    """
    try:
        given = json.loads(Path(path).read_text(encoding="utf-8"))
        if given["schema_version"] != SCHEMA_VERSION:
            raise ValueError(f"schema_version {given['schema_version']}, not {SCHEMA_VERSION}")
        return make_plan(given)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{path}: not the plan of a study ({error}). Run the audit first."
        ) from error
