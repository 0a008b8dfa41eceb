"""The benchmark from beginning to end."""

from collections.abc import Collection
from pathlib import Path

from robust_transfer.benchmark.cases import all_cases
from robust_transfer.benchmark.table import write_results
from robust_transfer.benchmark.training import measure_training
from robust_transfer.errors import ConfigError
from robust_transfer.training.device import best_device, use_threads

SECONDS = 400.0  # of the 8 minutes that it may take; the rest is starting and overrunning


def run_benchmark(
    *,
    training: str | Path,
    left_out: str | Path,
    table: str | Path,
    seconds: float = SECONDS,
    threads: int | None = None,
    networks: Collection[str] | None = None,
    methods: Collection[str] | None = None,
    others_as_jobs: bool = False,
) -> None:
    """Measure training on the device at hand and write the results.

    Args:
        training: CSV of the measurements.
        left_out: CSV of what was not measured.
        table: Markdown page of both.
        seconds: to spend on measuring, about.
        threads: of the CPU; None: torch's choice.
        networks: these alone; None: all.
        methods: these alone; None: all.
        others_as_jobs: on a CPU: whether the others too are started as this project's jobs are.

    Raises:
        ConfigError: no case is left.
    """
    cases = [
        case
        for case in all_cases()
        if (networks is None or case.network in networks)
        and (methods is None or case.method in methods)
    ]
    if not cases:
        known = sorted({case.network for case in all_cases()} | {c.method for c in all_cases()})
        raise ConfigError(f"benchmark: nothing to measure. Choose among {', '.join(known)}.")
    if threads is not None:
        use_threads(threads)
    results = measure_training(
        best_device(), seconds=seconds, cases=cases, others_as_jobs=others_as_jobs
    )
    write_results(results, training=training, left_out=left_out, table=table)
