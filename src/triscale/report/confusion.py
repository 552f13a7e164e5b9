"""The confusion matrix: what was taken for what."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from triscale.report.text import escape, shorten

LARGEST = 60  # classes that are drawn; with more, the pairs tell more than the picture
NUMBERED = 24  # classes up to which each cell shows its count
RIGHT, WRONG = "#0072b2", "#d55e00"


class Mistake(NamedTuple):
    """Images of one class that were taken for another; `share` of that class's images, 0..1."""

    truth: str
    predicted: str
    images: int
    share: float


def mistakes(confusion: Sequence[Sequence[int]], names: Sequence[str], most: int = 10) -> list[Mistake]:
    """The pairs of classes that are confused most often, the most images first.

    confusion: rows are true classes, columns predicted ones.
    """
    found = [
        Mistake(names[row], names[column], images, images / sum(counts))
        for row, counts in enumerate(confusion)
        for column, images in enumerate(counts)
        if images and row != column
    ]
    return sorted(found, key=lambda each: (-each.images, -each.share))[:most]


def matrix(confusion: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Draw the matrix: right answers blue, wrong ones orange, each as strong as its share of the true class.

    Returns: SVG; empty for no classes or more than `LARGEST`.
    """
    if not 0 < len(names) <= LARGEST:
        return ""
    cell = 30 if len(names) <= 12 else 24 if len(names) <= NUMBERED else 13
    labels = [shorten(name, 18) for name in names]
    left = 12 + 6.4 * max(map(len, labels))
    top, side = 34.0, cell * len(names)
    width, height = max(left + side + 12, left + 290), top + side + left + 6
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="confusion" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" color="#1b2733" fill="currentColor" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="11">',
        "<title>Confusion matrix: rows are true classes, columns predicted ones</title>",
        f'<text x="{left:.1f}" y="14" fill-opacity="0.75">rows: the true class · columns: what was predicted</text>',
    ]
    parts += [_cells(number, counts, left, top, cell) for number, counts in enumerate(confusion)]
    for number, label in enumerate(labels):
        middle = number * cell + cell / 2
        small = ' font-size="9"' if cell < 20 else ""
        y = top + middle + 4
        parts.append(f'<text x="{left - 6:.1f}" y="{y:.1f}" text-anchor="end"{small}>{escape(label)}</text>')
        x, y = left + middle + 4, top + side + 6
        turned = f'transform="translate({x:.1f} {y:.1f}) rotate(-90)"'
        parts.append(f'<text {turned} text-anchor="end"{small}>{escape(label)}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def _cells(row: int, counts: Sequence[int], left: float, top: float, cell: int) -> str:
    """One row: a faint ground, a square for each count that is not zero, and its number where there is room."""
    total, y = sum(counts), top + row * cell
    parts = [
        f'<rect x="{left:.1f}" y="{y:.1f}" width="{cell * len(counts) - 1}" height="{cell - 1}" fill-opacity="0.05"/>'
    ]
    for column, images in enumerate(counts):
        if not images:
            continue
        share, x = images / total, left + column * cell
        color = RIGHT if row == column else WRONG
        opacity = 0.15 + 0.85 * share if row == column else min(1.0, 0.3 + 2 * share)
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell - 1}" height="{cell - 1}" rx="2" '
            f'fill="{color}" fill-opacity="{opacity:.2f}"/>'
        )
        if len(counts) <= NUMBERED:
            ink = ' fill="#ffffff"' if opacity > 0.55 else ""
            place = f'x="{x + (cell - 1) / 2:.1f}" y="{y + cell / 2 + 3.5:.1f}"'
            parts.append(f'<text {place} text-anchor="middle"{ink}>{images}</text>')
    return "".join(parts)
