"""Results as CSV files and as one page of Markdown tables."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from robust_transfer.benchmark.training import Results
from robust_transfer.benchmark.variants import MEANING
from robust_transfer.files import whole_file, write_text

LEFT_OUT = ("network", "image_size", "method", "variant", "reason")


def write_results(
    results: Results, *, training: str | Path, left_out: str | Path, table: str | Path
) -> None:
    """Write what was measured, what was not, and both as a page.

    Args:
        results: of `measure_training`.
        training: CSV, one row a case and variant.
        left_out: CSV, what was not measured and why.
        table: Markdown.
    """
    rows = [results.machine | row for row in results.rows]
    _write_csv(training, rows, list(rows[0]) if rows else list(results.machine))
    _write_csv(left_out, results.left_out, LEFT_OUT)
    write_text(table, _page(results))


def _write_csv(path: str | Path, rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    with whole_file(path) as beside, beside.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, fieldnames=columns)
        writer.writeheader()
        writer.writerows(rows)


def _page(results: Results) -> str:
    machine = results.machine
    lines = [
        "# Speed of training",
        "",
        f"{machine['device']}, {machine['threads']} threads, torch {machine['torch']}; matrix "
        f"product in {machine['dtype_of_ours']}: {machine['matrix_teraflop_per_second']:.3g} "
        "TFLOP/s. Variants took turns; median of the rounds [first, third quartile; extremes "
        "below four rounds]. Utilisation: operations that the method needs at least, as a share "
        "of the matrix rate.",
        *_how_started(machine),
        "",
        *(f"- `{name}`: {meaning}" for name, meaning in MEANING.items()),
        "",
        "| network | size | method | variant | batch | images/s | ours is faster by | MiB | "
        "utilisation | rounds |",
        "|---|---|---|---|---|---|---|---|---|---|",
        *(_line(row) for row in results.rows),
    ]
    if results.left_out:
        lines += ["", "Not measured:", ""]
        lines += [
            f"- {row['network']} at {row['image_size']}, {row['method']}, {row['variant']}: "
            f"{row['reason']}"
            for row in results.left_out
        ]
    return "\n".join(lines) + "\n"


def _how_started(machine: dict[str, Any]) -> list[str]:
    """Say what each variant's process was given; on a GPU all share one."""
    if "others_started_as" not in machine:
        return []
    others = {
        "scripts": "the others with nothing, as a script is",
        "jobs": "the others with the same",
    }[machine["others_started_as"]]
    return [
        "",
        "Each variant has a process of its own. Ours is started with what the workflow gives its "
        f"jobs (how threads wait, how memory is kept), {others}.",
    ]


def _line(row: dict[str, Any]) -> str:
    speed = [row[f"images_per_second{end}"] for end in ("", "_low", "_high")]
    gain = [row[f"ours_is_faster_by{end}"] for end in ("", "_low", "_high")]
    memory = row["peak_memory_mib"]
    cells = [
        row["network"],
        row["image_size"],
        row["method"],
        row["variant"],
        row["batch_size"],
        f"{speed[0]:.4g} [{speed[1]:.4g}, {speed[2]:.4g}]",
        "" if row["variant"] == "ours" else f"{gain[0]:.2f} [{gain[1]:.2f}, {gain[2]:.2f}]",
        "" if memory is None else f"{memory:.0f}",
        f"{row['share_of_matrix_rate']:.0%}",
        row["rounds"],
    ]
    return "| " + " | ".join(map(str, cells)) + " |"
