"""Words and numbers for people: escaped, with units, never longer than they need be."""

from __future__ import annotations

import html
import unicodedata

KEPT = "\n\t\u200c\u200d"  # line breaks of programs, and what joins letters and emoji
NARROW = "\u00a0"  # a space at which no line breaks


def escape(text: object) -> str:
    """`text` for HTML and SVG, as content or between quotes.

    Class and file names are others' input: besides the markup characters, control characters, directional overrides and
    the undecodable bytes of a file name are replaced, so that the page is valid and reads as it is written.
    """
    return html.escape(clean(text), quote=True)


def clean(text: object) -> str:
    """`text` with what cannot be shown replaced, not escaped."""
    return "".join(c if unicodedata.category(c) not in ("Cc", "Cs", "Cf") or c in KEPT else "\ufffd" for c in str(text))


def shorten(text: object, length: int) -> str:
    """`text`, cleaned and in one line, with its middle left out where it is longer than `length`."""
    whole = " ".join(clean(text).split())
    if len(whole) <= length:
        return whole
    tail = (length - 1) // 3
    return f"{whole[: length - 1 - tail]}…{whole[len(whole) - tail :]}"


def duration(seconds: float) -> str:
    """Seconds: 75 as "1 min 15 s"."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def percent(share: float | None) -> str:
    """A rate in 0..1: 0.9912 as "99.1 %" that no line breaks; None, where nothing was measured, as a dash."""
    if share is None:
        return "–"
    if share == 1:
        return f"100{NARROW}%"
    # What is not all is never shown as all.
    return f"{min(share * 100, 99.9) if share < 1 else share * 100:.1f}{NARROW}%"


def pixels(resolution: tuple[int, int]) -> str:
    """(H, W) as "64 × 64"."""
    return f"{resolution[0]} × {resolution[1]}"
