"""Tables for people and JSON for programs: the two ways in which a command answers."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from triscale.errors import DataError


def print_json(value: object) -> None:
    """One JSON document on standard output."""
    json.dump(value, sys.stdout, indent=1, ensure_ascii=False, allow_nan=False)
    print()


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1, last: int = 0) -> None:
    """A plain table that can be piped: the first `left` and the `last` columns to the left, the others to the right."""
    widths = [max(len(row[i]) for row in (columns, *rows)) for i in range(len(columns))]
    words = {*range(left), *range(len(columns) - last, len(columns))}
    for row in (columns, *rows):
        cells = [c.ljust(w) if i in words else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True))]
        print("  ".join(cells).rstrip())


def count(value: float) -> str:
    """A count with three figures: 386M, 5.29M."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "K")):
        if value >= factor:
            return f"{value / factor:.3g}{unit}" if value < 1e3 * factor else f"{value / factor:,.0f}{unit}"
    return f"{value:.0f}"


def size(value: float) -> str:
    """Bytes as GB, MB or KB: 10^9, 10^6 and 10^3."""
    if value >= 1e10:
        return f"{value / 1e9:,.1f} GB"
    return f"{value / 1e6:.1f} MB" if value >= 1e5 else f"{value / 1e3:.1f} KB"


def require_read(errors: Sequence[str]) -> None:
    """Raise DataError where a file has an error, "" being none; all others have been answered by then."""
    unread = sum(map(bool, errors))
    if unread:
        sys.stdout.flush()
        raise DataError(f"{unread} of {len(errors)} files could not be read; the others were answered.")
