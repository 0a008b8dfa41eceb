"""One line for a terminal: what runs, how far each training is, and when all will be done."""

import re
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from robust_transfer.progress import spell_duration

#: The end of a job's log in which its last line of progress stands.
TAIL_BYTES = 400
SHARE = re.compile(r"\((\d+)%\)")


@dataclass(frozen=True)
class RunningJob:
    """A job under way.

    Attributes:
        rule: its rule.
        title: what tells it from other jobs of the rule.
        log: the file that its progress is written to; None: it has none.
        begun: when, in seconds of the panel's clock.
    """

    rule: str
    title: str
    log: str | None
    begun: float

    def share(self) -> str | None:
        """Return how far the job says it is, as `45%`; None: it has not said."""
        try:
            with Path(self.log or "").open("rb") as file:
                file.seek(max(0, Path(self.log or "").stat().st_size - TAIL_BYTES))
                said = SHARE.findall(file.read().decode("utf-8", "replace"))
        except OSError:
            return None
        return f"{said[-1]}%" if said else None


class Panel:
    """What a run has done, does and has left to do.

    Args:
        clock: returns a time in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._planned: Counter[str] = Counter()
        self._spent: dict[str, list[float]] = {}
        self._before: dict[str, float] = {}
        self._running: dict[int, RunningJob] = {}

    def plan(self, jobs: Mapping[str, int], seconds: Mapping[str, float]) -> None:
        """Say what the run consists of.

        Args:
            jobs: rule -> number of its jobs.
            seconds: rule -> what one of its jobs took in earlier runs, where known.
        """
        self._planned = Counter(jobs)
        self._before = dict(seconds)

    def begin(self, number: int, rule: str, title: str, log: str | None) -> None:
        """Note that a job started, for the first time or again."""
        self._running[number] = RunningJob(rule, title, log, self._clock())

    def end(self, number: int, *, done: bool = True) -> None:
        """Note that a job ended; one that failed is still to be done."""
        job = self._running.pop(number, None)
        if job is not None and done:
            self._spent.setdefault(job.rule, []).append(self._clock() - job.begun)

    def seconds_left(self) -> tuple[float, bool]:
        """Estimate how long the rest will take with as many jobs at a time as run now.

        Returns:
            Seconds, and whether every rule with jobs left was timed, in this run or before.
        """
        total, all_known = 0.0, True
        for rule, count in self._planned.items():
            spent = self._spent.get(rule, [])
            left = count - len(spent)
            one = sum(spent) / len(spent) if spent else self._before.get(rule)
            if left > 0 and one is None:
                all_known = False
                continue
            begun = [job.begun for job in self._running.values() if job.rule == rule]
            under_way = sum(min(self._clock() - each, one or 0.0) for each in begun)
            total += max(0.0, left * (one or 0.0) - under_way)
        return total / max(1, len(self._running)), all_known

    def line(self, width: int) -> str:
        """Write the line.

        Args:
            width: characters that there is room for; the line is cut to it.

        Returns:
            `3 of 12 jobs, about 2 min 5 s to go | pretrain_backbone ...-seed0 45% | ...`
        """
        done = sum(map(len, self._spent.values()))
        left, all_known = self.seconds_left()
        estimate = f", {'about' if all_known else 'at least'} {spell_duration(left)} to go"
        known = left > 0
        parts = [f"{done} of {self._planned.total()} jobs{estimate if known else ''}"]
        for job in sorted(self._running.values(), key=lambda job: job.begun):
            so_far = job.share() or spell_duration(self._clock() - job.begun)
            parts.append(" ".join(filter(None, (job.rule, job.title, so_far))))
        text = " | ".join(parts)
        return text if len(text) <= width else text[: max(0, width - 1)] + "…"
