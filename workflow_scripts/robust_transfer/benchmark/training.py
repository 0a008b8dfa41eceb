"""Measures training steps, case by case, until all are done or the time is spent."""

import sys
import time
from dataclasses import dataclass, field
from typing import Any

import torch

from robust_transfer.benchmark.arithmetic import forward_flop, matrix_rate
from robust_transfer.benchmark.cases import CLASSES, Case, all_cases
from robust_transfer.benchmark.clock import alternate, seconds_of, spread
from robust_transfer.benchmark.memory import PeakMemory
from robust_transfer.benchmark.variants import MEANING, Kept, Step, make_step, reason_against

FEWEST_ROUNDS, MOST_ROUNDS = 3, 15
# Planning alone: the share of the matrix rate that float32 training without our care reaches.
PLAIN_SHARE = {"cpu": 0.35, "cuda": 0.02}
BATCHES = {"cpu": (128, 64, 32, 16, 8, 4), "cuda": (512, 256, 128, 64, 32)}


@dataclass
class Results:
    """What the benchmark found.

    Attributes:
        machine: the device and its matrix rate.
        rows: one a case and variant.
        left_out: what was not measured, and why.
    """

    machine: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[dict[str, Any]] = field(default_factory=list)


def measure_training(
    device: torch.device, *, seconds: float, cases: list[Case] | None = None
) -> Results:
    """Measure every case in every variant, as far as the time goes.

    Each case gets an equal share of the time that is left. Batches are as large as the share
    allows; a case that does not fit even with the smallest is left out, and the results say so.

    Args:
        device: where.
        seconds: to spend in all.
        cases: None: all.
    """
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    rate = matrix_rate(device, dtype)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    results = Results(
        {
            "device": name,
            "threads": torch.get_num_threads(),
            "torch": str(torch.__version__),
            "dtype_of_ours": str(dtype).removeprefix("torch."),
            "matrix_teraflop_per_second": rate / 1e12,
        }
    )
    ends, waiting, kept = time.monotonic() + seconds, list(cases or all_cases()), Kept()
    while waiting:
        case = waiting.pop(0)
        share = (ends - time.monotonic()) / (len(waiting) + 1)
        _measure(case, device, rate, share, ends, results, kept)
    return results


def _measure(
    case: Case,
    device: torch.device,
    rate: float,
    share: float,
    ends: float,
    results: Results,
    kept: Kept,
) -> None:
    """Measure one case in its share of the time, or note why it is left out."""
    started, about = time.monotonic(), _about(case)
    reasons = {variant: reason_against(variant, case) for variant in MEANING}
    for variant, reason in reasons.items():
        if reason is not None:
            results.left_out.append(about | {"variant": variant, "reason": reason})
    variants = [variant for variant, reason in reasons.items() if reason is None]
    flop = forward_flop(case.network, case.image_size, CLASSES[case.image_size])
    flop *= case.forward_passes
    fitting = _batch_sizes(flop, len(variants), device, rate, share)
    batch_size, warm = _warmed_up(case, variants, fitting, device, kept)
    a_round = sum(each.seconds for each in warm.values())
    # What compiling took beyond the share is taken from the cases to come.
    if not warm or FEWEST_ROUNDS * a_round > max(ends - time.monotonic(), share):
        reason = f"{FEWEST_ROUNDS} rounds do not fit into its {max(0.0, share):.0f} s of the time"
        results.left_out.append(about | {"variant": "all", "reason": reason})
        return
    samples = alternate(
        {name: each.step for name, each in warm.items()},
        device,
        warm={name: each.seconds for name, each in warm.items()},
        seconds=share - (time.monotonic() - started),
        fewest_rounds=FEWEST_ROUNDS,
        most_rounds=MOST_ROUNDS,
    )
    print(f"benchmark: {case.network} at {case.image_size}, {case.method}", file=sys.stderr)
    for name, taken in samples.items():
        row = _row(batch_size, flop, rate, taken, samples["ours"])
        memory = {"peak_memory_mib": warm[name].peak_memory_mib}
        results.rows.append(about | {"variant": name} | row | memory)


def _row(
    batch_size: int, flop: float, rate: float, taken: list[float], ours: list[float]
) -> dict[str, Any]:
    """Summarise the seconds of one variant, beside ours of the same rounds."""
    speed = spread([batch_size / each for each in taken])
    gain = spread([other / own for own, other in zip(ours, taken, strict=True)])
    return {
        "batch_size": batch_size,
        "images_per_second": speed.median,
        "images_per_second_low": speed.low,
        "images_per_second_high": speed.high,
        "ours_is_faster_by": gain.median,
        "ours_is_faster_by_low": gain.low,
        "ours_is_faster_by_high": gain.high,
        "rounds": len(taken),
        "gigaflop_per_image": flop / 1e9,
        "share_of_matrix_rate": speed.median * flop / rate,
    }


def _about(case: Case) -> dict[str, Any]:
    return {"network": case.network, "image_size": case.image_size, "method": case.method}


def _batch_sizes(
    flop: float, variants: int, device: torch.device, rate: float, seconds: float
) -> list[int]:
    """Return the batches whose few rounds fit, by a rough model, the largest first."""
    rounds = FEWEST_ROUNDS + 2  # two to warm up
    an_image = flop / (rate * PLAIN_SHARE[device.type]) * variants * rounds
    return [size for size in BATCHES[device.type] if size * an_image < seconds]


@dataclass(frozen=True)
class _Warm:
    """A variant that has run: its step, the seconds it takes, and its peak memory."""

    step: Step
    seconds: float
    peak_memory_mib: float | None


def _warmed_up(
    case: Case, variants: list[str], fitting: list[int], device: torch.device, kept: Kept
) -> tuple[int, dict[str, _Warm]]:
    """Build the variants with the largest batch that the memory holds, and run each twice.

    The first time allocates, compiles and tunes. Ours comes last: it alone could go on with too
    little memory, by halving its batch.
    """
    for batch_size in fitting:
        warm: dict[str, _Warm] = {}
        try:
            for variant in sorted(variants, key=lambda name: name == "ours"):
                memory = PeakMemory(device)
                step = make_step(variant, case, batch_size, device, kept)
                seconds_of(step, device)
                seconds, peak = seconds_of(step, device), memory.bytes()
                warm[variant] = _Warm(step, seconds, None if peak is None else peak / 2**20)
        except torch.OutOfMemoryError:
            continue
        return batch_size, {variant: warm[variant] for variant in variants}
    return 0, {}
