"""The errors that a user can cause and can cure."""

from collections.abc import Iterable
from difflib import get_close_matches


class UserError(Exception):
    """A mistake in what the user gave; the message says where, what, what is allowed, the fix."""


class ConfigError(UserError):
    """The config asks for something that does not exist or cannot work."""


class DataError(UserError):
    """Images, labels or a cache are not what they must be."""


def did_you_mean(given: object, allowed: Iterable[str]) -> str:
    """Name the nearest allowed word, as a sentence to append to a message.

    Args:
        given: what the user wrote.
        allowed: the words that would have been right.

    Returns:
        ``" Did you mean 'full'?"``, or the empty string when nothing is near.
    """
    near = get_close_matches(str(given), list(allowed), n=1, cutoff=0.6)
    return f" Did you mean '{near[0]}'?" if near else ""
