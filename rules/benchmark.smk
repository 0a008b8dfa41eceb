# This code beside the alternatives -> speed and memory, measured on this machine.
import time


rule benchmark:
    """Measure the speed of training beside the alternatives, in some 8 minutes."""
    output:
        training=f"{RESULTS}/benchmark/training.csv",
        left_out=f"{RESULTS}/benchmark/left_out.csv",
        table=f"{RESULTS}/benchmark/training.md",
    log:
        f"{RESULTS}/benchmark/benchmark.log",
    localrule: True
    conda:
        "../envs/torch.yaml"
    threads: workflow.cores
    resources:
        gpu=1,
    params:
        # A measurement is of now: a parameter that is never the same has it made each time.
        asked=lambda wildcards: time.time(),
        code=code_digest("benchmark/benchmark.py"),
    script:
        "../workflow_scripts/benchmark/benchmark.py"
