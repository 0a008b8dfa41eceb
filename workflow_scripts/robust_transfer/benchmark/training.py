"""Measures training steps, case by case, until all are done or the time is spent."""

import contextlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch

from robust_transfer.benchmark.arithmetic import forward_flop, matrix_rate
from robust_transfer.benchmark.cases import CLASSES, Case, all_cases
from robust_transfer.benchmark.clock import alternate, spread
from robust_transfer.benchmark.elsewhere import Elsewhere, as_jobs, as_scripts
from robust_transfer.benchmark.timed import TimedSteps
from robust_transfer.benchmark.variants import MEANING, reason_against

FEWEST_ROUNDS, MOST_ROUNDS = 3, 11
# Planning alone: the share of the matrix rate that float32 training without our care reaches.
PLAIN_SHARE = {"cpu": 0.35, "cuda": 0.02}
#: Where a variant runs: calls a method of a `TimedSteps` by its name.
Place = Callable[..., Any]
BATCHES = {"cpu": (128, 64, 32, 16, 8, 4, 2), "cuda": (512, 256, 128, 64, 32)}


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
    device: torch.device,
    *,
    seconds: float,
    cases: list[Case] | None = None,
    others_as_jobs: bool = False,
) -> Results:
    """Measure every case in every variant, as far as the time goes.

    Each case gets an equal share of the time that is left. Batches are as large as the share
    allows; a case that does not fit even with the smallest is tried again at the end, with all the
    time that is left then, or left out, and the results say so.

    Args:
        device: where.
        seconds: to spend in all.
        cases: None: all.
        others_as_jobs: on a CPU: whether the others too are started as this project's jobs are.
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
    if device.type == "cpu":
        results.machine["others_started_as"] = "jobs" if others_as_jobs else "scripts"
    waiting = list(cases or all_cases())
    for case in waiting:
        _note_what_cannot_be(case, results)
    with _places(device, others_as_jobs) as places:
        _Bench(device, rate, time.monotonic() + seconds, results, places).measure_all(waiting)
    return results


@contextlib.contextmanager
def _places(device: torch.device, others_as_jobs: bool) -> Iterator[Mapping[str, Place]]:
    """Give each variant its place.

    On a CPU, a process of its own, started as its users start it. On a GPU, where that decides
    nothing, this process, since each would hold memory of the one GPU.
    """
    if device.type != "cpu":
        here = TimedSteps(device)
        yield dict.fromkeys(MEANING, lambda method, *given: getattr(here, method)(*given))
        return
    threads = torch.get_num_threads()
    jobs, scripts = as_jobs(threads), as_scripts()
    with contextlib.ExitStack() as ended:
        places = {}
        for variant in MEANING:
            environment = jobs if others_as_jobs or variant == "ours" else scripts
            process = Elsewhere(TimedSteps, device, environment=environment, threads=threads)
            ended.callback(process.end)
            places[variant] = process.ask
        yield places


def _about(case: Case) -> dict[str, Any]:
    return {"network": case.network, "image_size": case.image_size, "method": case.method}


def _variants(case: Case) -> list[str]:
    return [variant for variant in MEANING if reason_against(variant, case) is None]


def _note_what_cannot_be(case: Case, results: Results) -> None:
    for variant in MEANING:
        reason = reason_against(variant, case)
        if reason is not None:
            results.left_out.append(_about(case) | {"variant": variant, "reason": reason})


@dataclass(frozen=True)
class _Warm:
    """A variant that has run: its timer, the seconds of a step, and its peak memory."""

    timer: Callable[[int], float]
    seconds: float
    peak_memory_mib: float | None


@dataclass
class _Bench:
    """Measures one case after the other until its time ends."""

    device: torch.device
    rate: float
    ends: float
    results: Results
    places: Mapping[str, Place]

    def measure_all(self, cases: list[Case]) -> None:
        """Measure cases; those that did not fit again, with all the time that is left then."""
        waiting = range(len(cases), 0, -1)
        too_long = [
            case for case, n in zip(cases, waiting, strict=True) if not self.measure(case, n)
        ]
        for case in too_long:
            if not self.measure(case, 1):
                reason = f"{FEWEST_ROUNDS} rounds do not fit into the time"
                self.results.left_out.append(_about(case) | {"variant": "all", "reason": reason})

    def measure(self, case: Case, waiting: int) -> bool:
        """Measure a case in its share of the time; False: it does not fit.

        Args:
            case: what.
            waiting: cases that share the time that is left, this one among them.
        """
        share = (self.ends - time.monotonic()) / waiting
        ends = time.monotonic() + share
        flop = forward_flop(case.network, case.image_size, CLASSES[case.image_size])
        flop *= case.forward_passes
        batch_size, warm = self._warmed_up(case, flop, ends)
        if not warm:
            return False
        samples = alternate(
            {name: each.timer for name, each in warm.items()},
            warm={name: each.seconds for name, each in warm.items()},
            seconds=ends - time.monotonic(),
            fewest_rounds=FEWEST_ROUNDS,
            most_rounds=MOST_ROUNDS,
        )
        print(f"benchmark: {case.network} at {case.image_size}, {case.method}", file=sys.stderr)
        for name, taken in samples.items():
            row = _row(batch_size, flop, self.rate, taken, samples["ours"])
            memory = {"peak_memory_mib": warm[name].peak_memory_mib}
            self.results.rows.append(_about(case) | {"variant": name} | row | memory)
        return True

    def _warmed_up(self, case: Case, flop: float, ends: float) -> tuple[int, dict[str, _Warm]]:
        """Run each variant with the largest batch that memory and time hold.

        Ours comes last: it alone could go on with too little memory, by halving its batch.
        """
        variants = _variants(case)
        for batch_size in BATCHES[self.device.type]:
            guess = batch_size * flop / (self.rate * PLAIN_SHARE[self.device.type])
            warm: dict[str, _Warm] = {}
            for ask in self.places.values():
                ask("forget")
            try:
                for variant in sorted(variants, key=lambda name: name == "ours"):
                    rounds = (FEWEST_ROUNDS + 1) * len(variants)
                    if guess * rounds > ends - time.monotonic():
                        break  # the model, or the first variant, says that it takes too long
                    warm[variant] = self._warm(variant, case, batch_size)
                    guess = 0 if len(warm) > 1 else warm[variant].seconds
            except torch.OutOfMemoryError:
                continue
            if len(warm) == len(variants):
                return batch_size, {variant: warm[variant] for variant in variants}
        return 0, {}

    def _warm(self, variant: str, case: Case, batch_size: int) -> _Warm:
        ask = self.places[variant]
        seconds, peak = ask("warm", variant, case, batch_size)
        mib = None if peak is None else peak / 2**20
        return _Warm(lambda repeats: ask("seconds", variant, repeats), seconds, mib)


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
