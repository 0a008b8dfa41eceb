"""How planning scales: a dry run and a run with nothing to do, of studies of up to 10,000 jobs.

python tests/measure_scale.py [JOBS ...]     prints a table; takes minutes and some 100 MB

Beside it the dry run of as many jobs of Snakemake alone: one rule, five wildcards, one output each.
Outputs are stand-ins with real records, so that the second plan has everything to compare.
"""

import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import yaml
from workflow import ROOT, copy_workflow, environment

#: Of this file, whose copy in a folder of its own would find nothing.
PYTHONPATH = os.pathsep.join(str(ROOT / folder) for folder in ("tests", "workflow_scripts"))
JOBS = (1000, 2500, 5000, 10000)
BARE = """
rule all:
    input:
        [f"r/{{n // 1000}}/{{n // 100 % 10}}/{{n // 10 % 10}}/{{n % 10}}/x" for n in range({jobs})]
rule one:
    output: "r/{{a}}/{{b}}/{{c}}/{{d}}/{{e}}"
    params: seed=lambda wildcards: wildcards.a
    shell: "touch {{output}}"
"""
TARGETS = 12 * 2 * 2  # datasets x resolutions x modes of paper_grid.yaml: jobs a backbone


def grid(folder: Path, jobs: int) -> Path:
    """Write a study of about so many jobs: the paper's targets, as many backbones as it takes."""
    settings = yaml.safe_load((ROOT / "tests/paper_grid.yaml").read_text())
    backbones = max(2, round(jobs / (TARGETS + 2)))
    settings["pretrain"]["backbones"][0].update(
        architecture=["resnet_small"], epsilon=[0], seeds=list(range(backbones))
    )
    path = folder / "grid.yaml"
    path.write_text(yaml.safe_dump(settings))
    return path


def timed(folder: Path, *words: str) -> tuple[float, int, str]:
    """Run a command; return seconds, its peak memory in MB, and what it said."""
    started = time.monotonic()
    done = subprocess.run(
        ["/usr/bin/env", "python", __file__, "--child", *words],
        cwd=folder, env=environment() | {"PYTHONPATH": PYTHONPATH},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, said[-2000:]
    memory = next(line for line in said.splitlines() if line.startswith("peak_mb="))
    return time.monotonic() - started, int(memory.partition("=")[2]), said


def child(words: list[str]) -> None:
    """Run Snakemake, or make stand-ins for all outputs that it plans; say the peak memory."""
    from snakemake import cli
    from snakemake.dag import DAG

    if words[0] == "--stand-ins":
        DAG.stats = lambda dag: make_stand_ins(dag)
        words = words[1:]
    try:
        cli.main(words)
    finally:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        print(f"peak_mb={peak}", flush=True)


def make_stand_ins(dag: object) -> None:
    """Write every planned output, a few bytes, and its record; then end."""
    sys.path.insert(0, "workflow_scripts")
    from robust_transfer.records.provenance import write_records

    now = datetime.now(UTC)
    for job in (job for level in dag.toposorted() for job in sorted(level, key=str)):
        if not job.rule.script or not job.output:
            continue
        for path in map(Path, job.output):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(str(path))
        told = SimpleNamespace(
            rule=job.rule.name, wildcards=job.wildcards, params=job.params, threads=1,
            input=list(map(str, job.input)), output=list(map(str, job.output)),
            scriptdir="workflow_scripts",
        )  # fmt: skip
        write_records(told, start=now, end=now)
    sys.exit(0)


def main(sizes: list[int]) -> None:
    print(
        "| jobs | dry run | Snakemake alone | peak memory | first run with nothing to do | again |"
    )
    print("|---|---|---|---|---|---|")
    for jobs in sizes:
        with tempfile.TemporaryDirectory() as name:
            folder = copy_workflow(Path(name))
            words = ("--cores", "8", "--configfile", str(grid(folder, jobs)))
            dry, peak, said = timed(folder, "--dry-run", "--quiet", "rules", *words)
            total = next(line.split()[1] for line in said.splitlines() if line.startswith("total"))
            (folder / "bare").mkdir()
            (folder / "bare/Snakefile").write_text(BARE.format(jobs=total))
            alone, _, _ = timed(folder / "bare", "--dry-run", "--quiet", "rules", "--cores", "8")
            timed(folder, "--stand-ins", "--dry-run", *words)
            first, _, said = timed(folder, *words)
            assert "Nothing to be done" in said, said[-2000:]
            again, _, _ = timed(folder, *words)
            row = (
                f"{dry:.1f} s",
                f"{alone:.1f} s",
                f"{peak} MB",
                f"{first:.1f} s",
                f"{again:.1f} s",
            )
            print("|", " | ".join((total, *row)), "|", flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        child(sys.argv[2:])
    else:
        main([int(word) for word in sys.argv[1:]] or list(JOBS))
