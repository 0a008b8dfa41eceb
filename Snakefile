# robust-transfer: do adversarially robust backbones transfer better?
#
#   data -> pretrain -> transfer | detect -> analysis -> report
#
# A contents page: every stage is one file in rules/, every rule one script of the same name in
# workflow_scripts/, every choice one line of config.yaml. `snakemake --list` describes the rules.

from snakemake.utils import min_version

min_version("9.27")


configfile: f"{workflow.basedir}/config.yaml"


report: "rules/captions/study.rst"  # of `snakemake --report`


include: "rules/planning.smk"  # plans in less time
include: "rules/common.smk"  # checks the config, before any job
include: "rules/forks.smk"  # jobs start as forks of a loaded process
include: "rules/staleness.smk"  # files against their records, and why something is stale
include: "rules/panel.smk"  # what runs and how far it is, on a terminal
include: "rules/data.smk"  # original images -> image caches
include: "rules/common_pretrain.smk"  # names and parameters of backbones
include: "rules/pretrain.smk"  # source cache -> backbones
include: "rules/common_transfer.smk"  # names and parameters of transfers
include: "rules/transfer.smk"  # backbone + dataset cache -> per-image predictions
include: "rules/common_detect.smk"  # names and parameters of detectors
include: "rules/detect.smk"  # backbone + scenes -> detectors and their average precision
include: "rules/common_analysis.smk"  # parameters of the statistics
include: "rules/analysis.smk"  # predictions -> accuracy, and every statistic
include: "rules/common_report.smk"  # what the report shows
include: "rules/report.smk"  # tables -> figures and one HTML report
include: "rules/common_audit.smk"  # what an audit holds results against
include: "rules/audit.smk"  # results as they are -> verdict on each file and number
include: "rules/benchmark.smk"  # this machine -> speed and memory beside the alternatives


remember_code()


rule all:
    """The whole study: its tables, figures and report."""
    default_target: True
    input:
        rules.write_report.output.page,
    localrule: True


localrules:
    why,


rule why:
    """Say in words what is stale, why, and how long making it again would take."""
    log:
        f"{RESULTS}/why.log",
    conda:
        "envs/analysis.yaml"
    params:
        dry_run=dry_run_command(),
    shell:
        "{params.dry_run} 2>&1 >/dev/null | tee {log}"
