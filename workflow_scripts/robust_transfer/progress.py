"""Progress of a loop: a bar on a terminal, now and then a plain line in a log."""

import os
import sys
import time
from collections.abc import Iterable, Iterator, Sized
from typing import TypeVar

T = TypeVar("T")
SECONDS_BETWEEN_LINES = 10.0
#: Environment variable that is set for jobs whose progress a panel shows.
PANEL = "ROBUST_TRANSFER_PANEL"


def is_on_panel() -> bool:
    """Tell whether a panel shows the progress of this job: it then goes to the log alone."""
    return bool(os.environ.get(PANEL))


def progress(iterable: Iterable[T], *, total: int, label: str) -> Iterator[T]:
    """Go through `iterable` and say on standard error how far it is.

    Args:
        iterable: what to go through. Where it knows its length and that is below `total`, the
            difference counts as done before: a resumed loop goes on at the right number.
        total: how many items there are in all.
        label: what is being done, in a few words.

    Yields:
        The items, unchanged.
    """
    before = max(0, total - len(iterable)) if isinstance(iterable, Sized) else 0
    if sys.stderr.isatty():
        from tqdm import tqdm  # only a terminal needs it

        yield from tqdm(iterable, total=total, initial=before, desc=label, file=sys.stderr)
    else:
        yield from _lines(iterable, total, before, label)


def _lines(iterable: Iterable[T], total: int, before: int, label: str) -> Iterator[T]:
    """Yield the items; write a line every `SECONDS_BETWEEN_LINES` and one at the end."""
    started = spoken = time.monotonic()
    done = before
    for item in iterable:
        yield item
        done += 1
        now = time.monotonic()
        if now - spoken >= SECONDS_BETWEEN_LINES and done < total:
            spoken = now
            rate = (done - before) / (now - started)
            left = (total - done) / rate
            print(
                f"{label}: {done} of {total} ({done / max(total, 1):.0%}), "
                f"{rate:.3g} a second, {spell_duration(left)} to go",
                file=sys.stderr,
                flush=True,
            )
    spent = time.monotonic() - started
    print(f"{label}: {done} of {total} in {spell_duration(spent)}", file=sys.stderr, flush=True)


def spell_duration(seconds: float) -> str:
    """Spell a duration: 8.2 s, 3 min 5 s, 2 h 10 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
