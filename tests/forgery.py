"""A finished study to tamper with: bytes, records, chains of records, plans; times restored."""

import csv
import io
import json
import os
import re
import shutil

import numpy as np
from robust_transfer.audit.plan import load_plan, make_plan
from robust_transfer.audit.rerun import as_job, run_here
from robust_transfer.audit.run import audit
from robust_transfer.files import sha256

PARTS = ("results", "cache", "workflow_scripts", "envs")


def more(text):
    """Count up the last digit of a number: 0.125 -> 0.126."""
    return re.sub(r"\d(?=(e-?\d+)?$)", lambda digit: str((int(digit[0]) + 1) % 10), text)


class Forgery:
    """A copy of an audited study whose files are links until they are changed."""

    def __init__(self, original, folder, study="tiny"):
        for part in PARTS:
            shutil.copytree(original / part, folder / part, copy_function=os.link)
        self.root = folder
        self.plan = load_plan(folder / f"results/{study}/audit/plan.json")

    def audit(self):
        return audit(self.plan, root=self.root, code=self.root, threads=2)

    # Files

    def outputs(self, rule, name, **wildcards):
        """The outputs of one name of the first job of a rule with these wildcards."""
        for job in self.plan.jobs:
            if job.rule == rule and wildcards.items() <= job.wildcards.items():
                return job.outputs[name]
        raise LookupError(rule)

    def one(self, rule, name, place=0, **wildcards):
        return self.outputs(rule, name, **wildcards)[place]

    def read(self, path):
        return (self.root / path).read_bytes()

    def write(self, path, content):
        """Replace a file, not what it is linked to, and restore its times."""
        where = self.root / path
        times = where.stat() if where.exists() else None
        where.unlink(missing_ok=True)
        where.parent.mkdir(parents=True, exist_ok=True)
        where.write_bytes(content if isinstance(content, bytes) else content.encode())
        if times:
            os.utime(where, ns=(times.st_atime_ns, times.st_mtime_ns))

    def flip(self, path):
        content = bytearray(self.read(path))
        content[len(content) * 2 // 3] ^= 1
        self.write(path, bytes(content))

    def replace(self, path, old, new):
        text = self.read(path).decode()
        assert old in text, old
        self.write(path, text.replace(old, new, 1))

    def remove(self, *paths):
        for path in paths:
            (self.root / path).unlink()

    def json(self, path):
        return json.loads(self.read(path))

    def edit(self, path, change):
        """Change a JSON file."""
        content = self.json(path)
        change(content)
        self.write(path, json.dumps(content, indent=1) + "\n")

    def edit_rows(self, path, change):
        """Change the rows of a CSV file: dictionaries of text."""
        rows = list(csv.DictReader(io.StringIO(self.read(path).decode())))
        header = list(rows[0])
        rows = change(rows) or rows
        text = io.StringIO()
        table = csv.DictWriter(text, header, lineterminator="\n")
        table.writeheader()
        table.writerows(rows)
        self.write(path, text.getvalue())

    def arrays(self, path):
        with np.load(self.root / path) as stored:
            return {name: stored[name] for name in stored.files}

    def write_array(self, path, array):
        content = io.BytesIO()
        np.save(content, array)
        self.write(path, content.getvalue())

    def write_arrays(self, path, **arrays):
        content = io.BytesIO()
        np.savez(content, **arrays)
        self.write(path, content.getvalue())

    # Records

    def edit_records(self, path, change):
        """Change the records of all outputs of the job that makes a file, in the same way."""
        for output in self.plan.maker[path].files:
            self.edit(f"{output}.prov.json", change)

    def forge(self, *paths, consumers=True):
        """Let records tell of files as they are now: their own, and those of who read them."""
        now = {
            path: {"sha256": sha256(self.root / path), "bytes": (self.root / path).stat().st_size}
            for path in paths
        }
        told = [
            job for job in self.plan.jobs
            if now.keys() & {*job.files, *(job.needed if consumers else ())}
        ]  # fmt: skip
        for output in {output for job in told for output in job.files}:
            self.edit(f"{output}.prov.json", lambda record: _tell(record, now))

    def redo(self, *rules):
        """Make all tables and the report from what lies there now, and every record fit.

        Args:
            rules: other jobs that are made again before.
        """
        left = [
            job for job in self.plan.jobs
            if job.script.split("/")[0] in ("analysis", "report") or job.rule in rules
        ]  # fmt: skip
        left = [job for job in left if job.rule not in ("draw_figures", "measure_granularity")]
        made_again = []
        while left:
            waiting = {path for job in left for path in job.files}
            job = next(job for job in left if not waiting & set(job.needed))
            left.remove(job)
            params = self.json(f"{job.files[0]}.prov.json")["params"]
            again, scripts = self.root / "again", self.root / "workflow_scripts"
            made = as_job(job, params, again, scripts, threads=1)
            assert run_here(scripts / job.script, self.plan.handle, made, self.root) == ""
            for path in job.files:
                self.write(path, (again / path).read_bytes())
            made_again += job.files
        self.forge(*made_again)

    # The plan

    def replan(self, rule, change):
        """Change what config or code of today would ask of the jobs of a rule."""
        jobs = [json.loads(json.dumps(vars(job))) for job in self.plan.jobs]
        for job in jobs:
            if job["rule"] == rule:
                change(job)
        self.plan = make_plan(vars(self.plan) | {"jobs": jobs})


def _tell(record, now):
    for entry in (record["output"], *record["outputs"], *record["inputs"]):
        entry.update(now.get(entry["path"], {}))
