# What an audit holds results against, and how it asks the workflow.
from snakemake.iocontainers import Wildcards


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
