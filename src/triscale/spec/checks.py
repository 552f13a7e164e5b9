"""Checks that all parts of a network share; their bounds keep every file, however odd, quick to read and to cost."""

from __future__ import annotations

from typing import get_args

from triscale.errors import SpecError

LARGEST = 2**20  # channels, classes and pixels of a side: far above any network that was ever built
LARGEST_KERNEL = 1023  # and of a stride
LARGEST_RATIO = 1000.0  # of an expansion or a squeeze
MOST_BLOCKS = 20_000  # of a whole network


def whole(name: str, value: object, most: int = LARGEST) -> None:
    """Raise SpecError unless `value` is a whole number in 1..most."""
    if type(value) is not int or not 1 <= value <= most:
        raise SpecError(f"{name} must be a whole number in 1..{most:,}, got {shown(value)}.")


def positive(name: str, value: object, most: float = LARGEST_RATIO) -> None:
    """Raise SpecError unless `value` is a number above 0 and at most `most` (which refuses nan and infinity)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= most:
        raise SpecError(f"{name} must be a number above 0 and at most {most:,g}, got {shown(value)}.")


def one_of(name: str, value: object, allowed: object) -> None:
    """Raise SpecError unless `value` is one of the words of a Literal."""
    if value not in get_args(allowed):
        raise SpecError(f"{name} must be one of {', '.join(get_args(allowed))}; got {shown(value)}.")


def shown(value: object) -> str:
    """A value as an error message shows it: never longer than a line."""
    if isinstance(value, int) and value.bit_length() > 128:
        return f"a number of {value.bit_length()} bits"  # Python refuses to print what has thousands of digits
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
