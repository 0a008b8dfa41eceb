# Results as they are -> a verdict on each file and number. Reads only; builds nothing again.
import time


rule audit_study:
    """Hold files, records, data, statistics and claims against what config and code ask for."""
    output:
        verdict=f"{RESULTS}/audit/audit.json",
        page=f"{RESULTS}/audit/audit.html",
        plan=f"{RESULTS}/audit/plan.json",
    log:
        f"{RESULTS}/audit/audit_study.log",
    conda:
        "../envs/audit.yaml"
    threads: 8
    params:
        plan=study_plan,
        question=what_is_left,
        code_folder=str(workflow.basedir),
        # Results are no input, so that missing ones are reported rather than built; a parameter
        # that is never the same has them looked at each time.
        asked=lambda wildcards: time.time(),
        code=code_digest("audit/audit_study.py"),
    script:
        "../workflow_scripts/audit/audit_study.py"


rule audit:
    """Audit the study; fails when a check failed, after the page of the audit is written."""
    input:
        verdict=rules.audit_study.output.verdict,
        page=rules.audit_study.output.page,
    output:
        note=f"{RESULTS}/audit/passed.json",
    log:
        f"{RESULTS}/audit/audit.log",
    localrule: True
    conda:
        "../envs/audit.yaml"
    params:
        code=code_digest("audit/audit.py"),
    script:
        "../workflow_scripts/audit/audit.py"


rule replay_study:
    """Run a sample of jobs again, beside the study, and compare what comes out."""
    output:
        record=f"{RESULTS}/audit/replay.json",
    log:
        f"{RESULTS}/audit/replay_study.log",
    conda:
        "../envs/audit.yaml"
    threads: 8
    params:
        plan=study_plan,
        draw=replay_draw,
        code_folder=str(workflow.basedir),
        asked=lambda wildcards: time.time(),
        code=code_digest("audit/replay_study.py"),
    script:
        "../workflow_scripts/audit/replay_study.py"


rule audit_replay:
    """Replay a sample of jobs; fails when one does not repeat."""
    input:
        record=rules.replay_study.output.record,
    output:
        note=f"{RESULTS}/audit/repeated.json",
    log:
        f"{RESULTS}/audit/audit_replay.log",
    localrule: True
    conda:
        "../envs/audit.yaml"
    params:
        code=code_digest("audit/audit_replay.py"),
    script:
        "../workflow_scripts/audit/audit_replay.py"


rule bundle_study:
    """Pack code, config, records, tables, report and audit as an RO-Crate for a reviewer."""
    input:
        verdict=rules.audit_study.output.verdict,
        page=rules.audit_study.output.page,
        plan=rules.audit_study.output.plan,
    output:
        crate=f"{RESULTS}/audit/{study.name}.crate.zip",
    log:
        f"{RESULTS}/audit/bundle_study.log",
    localrule: True
    conda:
        "../envs/audit.yaml"
    params:
        code_folder=str(workflow.basedir),
        entry=Path(workflow.main_snakefile).name,
        language="snakemake",
        code=code_digest("audit/bundle_study.py"),
    script:
        "../workflow_scripts/audit/bundle_study.py"
