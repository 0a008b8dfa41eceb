"""The benchmark of training by itself: `python -m robust_transfer.benchmark --out FOLDER`.

It needs torch, torchvision and NumPy; what torchattacks would show is left out without it.
"""

import argparse
import sys
from pathlib import Path

from robust_transfer.benchmark.run import SECONDS, run_benchmark
from robust_transfer.errors import UserError


def main(arguments: list[str] | None = None) -> None:
    """Measure, and write the results to a folder.

    Args:
        arguments: of the command line; None: those of this process.
    """
    parser = argparse.ArgumentParser(prog="robust_transfer.benchmark", description=__doc__)
    parser.add_argument("--out", required=True, type=Path, help="folder of the results")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="to spend, about")
    parser.add_argument("--threads", type=int, help="of the CPU; default: torch's choice")
    parser.add_argument("--network", nargs="*", help="measure these networks alone")
    parser.add_argument("--method", nargs="*", help="measure these methods alone")
    parser.add_argument(
        "--others-as-jobs", action="store_true",
        help="on a CPU: start the others too as this project's jobs are, not as scripts are",
    )  # fmt: skip
    given = parser.parse_args(arguments)
    try:
        measure(given)
    except UserError as error:
        sys.exit(str(error))
    print((given.out / "training.md").read_text(encoding="utf-8"))


def measure(given: argparse.Namespace) -> None:
    """Measure what the command line asks for."""
    run_benchmark(
        training=given.out / "training.csv",
        left_out=given.out / "left_out.csv",
        table=given.out / "training.md",
        seconds=given.seconds,
        threads=given.threads,
        networks=given.network,
        methods=given.method,
        others_as_jobs=given.others_as_jobs,
    )


if __name__ == "__main__":
    main()
