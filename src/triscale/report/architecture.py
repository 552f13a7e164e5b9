"""The drawing of a network: one box per row of its table, as high as its resolution and as wide as its depth."""

from __future__ import annotations

import math
from typing import NamedTuple

from triscale.report.text import escape, pixels
from triscale.spec.cost import Cost, cost
from triscale.spec.limits import quantity
from triscale.spec.network import Network
from triscale.spec.table import Row, count_layers, table_rows

TALLEST, SMALLEST = 150.0, 14.0  # of a box, in drawing units
BLOCK = 15.0  # width of one block
COLUMN, GAP, MARGIN = 98.0, 8.0, 18.0  # the least width of a column, the space between two, the space around all
ABOVE, BELOW = 82.0, 118.0  # title and resolutions above the boxes; labels and legend below them

# Told apart by lightness too, for colour-blind eyes and for prints.
FILLS = {"stem": "#8d99ae", "plain": "#3b8ec2", "squeeze": "#1f5f8b", "head": "#d98a29"}
LEGEND = {"stem": "convolution", "plain": "blocks", "squeeze": "blocks with squeeze-excite", "head": "head"}


class _Column(NamedTuple):
    row: Row
    kind: str
    left: float
    width: float


def picture(network: Network, own: Cost | None = None) -> str:
    """Draw `network` by stage.

    own: its cost, where it is already known; its size is the size that is drawn.
    Returns: a whole SVG file that also stands inside an HTML page. Its ink is `currentColor`, so that it follows a
        page's light or dark style; on its own it is dark on white.
    """
    own = cost(network) if own is None else own
    columns = _columns(network, own)
    width = max(columns[-1].left + columns[-1].width + MARGIN, 640.0)
    height = ABOVE + TALLEST + BELOW
    tallest = max(max(column.row.resolution) for column in columns)
    title = f"{network.name}: {pixels(own.size)} pixels, {quantity('params', own.params)} parameters"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="architecture" viewBox="0 0 {width:.0f} {height:.0f}" '
        f'width="{width:.0f}" height="{height:.0f}" role="img" color="#1b2733" fill="currentColor" '
        'font-family="system-ui, Segoe UI, Helvetica, Arial, sans-serif" font-size="11">',
        f"<title>{escape(title)}</title>",
        '<rect class="paper" width="100%" height="100%" fill="#ffffff"/>',
        _heading(network, own),
        _legend({column.kind for column in columns}, height - 14),
        f'<g stroke="currentColor" stroke-opacity="0.45">{"".join(_arrows(columns))}</g>',
        *(_box(column, tallest) for column in columns),
        *(_labels(column, own.macs) for column in columns),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


def _columns(network: Network, own: Cost) -> list[_Column]:
    rows = table_rows(network, own.size)
    columns: list[_Column] = []
    left = MARGIN
    for index, row in enumerate(rows):
        kind = "squeeze" if row.squeeze else "plain"
        if index == 0:
            kind = "stem"
        elif network.head is not None and index == len(rows) - 1:
            kind = "head"
        width = max(COLUMN, row.layers * BLOCK + 8, 6.4 * max(map(len, _operator_lines(row))))
        columns.append(_Column(row, kind, left, width))
        left += width + GAP
    return columns


def _heading(network: Network, own: Cost) -> str:
    facts = (
        f"{pixels(own.size)} px",
        f"{quantity('params', own.params)} parameters",
        f"{quantity('macs', own.macs)} MACs",
        f"{count_layers(network)} convolution and linear layers",
        f"{network.classes} classes" if network.head is not None else "no classifier",
    )
    return (
        f'<text x="{MARGIN}" y="28" font-size="17" font-weight="600">{escape(network.name)}</text>'
        f'<text x="{MARGIN}" y="47" fill-opacity="0.75">{escape(" · ".join(facts))}</text>'
    )


def _legend(kinds: set[str], y: float) -> str:
    parts, left = [], MARGIN
    for kind in (kind for kind in FILLS if kind in kinds):
        parts.append(f'<rect x="{left:.1f}" y="{y - 9:.1f}" width="10" height="10" rx="2" fill="{FILLS[kind]}"/>')
        parts.append(f'<text x="{left + 15:.1f}" y="{y:.1f}" fill-opacity="0.75">{LEGEND[kind]}</text>')
        left += 40 + 6.0 * len(LEGEND[kind])
    return "".join(parts)


def _middle(column: _Column) -> float:
    return column.left + column.width / 2


def _arrows(columns: list[_Column]) -> list[str]:
    """The line that the image takes through the boxes."""
    y = ABOVE + TALLEST / 2
    return [f'<path d="M{_middle(columns[0]):.1f} {y}H{_middle(columns[-1]):.1f}" fill="none" stroke-dasharray="2 3"/>']


def _box(column: _Column, tallest: int) -> str:
    """One rectangle per block; the first keeps the height of what it reads where the row shrinks it."""
    row = column.row
    x, middle, parts = _middle(column) - row.layers * BLOCK / 2, ABOVE + TALLEST / 2, []
    for index in range(row.layers):
        shrunk = max(row.resolution) / (row.stride if index else 1)
        height = max(SMALLEST, TALLEST * math.sqrt(shrunk / tallest))
        parts.append(
            f'<rect x="{x + index * BLOCK:.1f}" y="{middle - height / 2:.1f}" width="{BLOCK - 1.5}" '
            f'height="{height:.1f}" rx="2" fill="{FILLS[column.kind]}"/>'
        )
    return "".join(parts)


def _operator_lines(row: Row) -> list[str]:
    """The operator in lines short enough for a column: at its comma, or before each "&"."""
    return [part.strip() for part in row.operator.replace(", ", "\n").replace(" & ", "\n& ").split("\n")]


def _labels(column: _Column, macs: int) -> str:
    row, x = column.row, _middle(column)
    lines = [*_operator_lines(row)[:3], f"{row.channels} channels"]
    lines[-1] += f", ×{row.layers}" if row.layers > 1 else ""
    top = ABOVE + TALLEST + 18
    parts = [f'<text x="{x:.1f}" y="{ABOVE - 10:.0f}" text-anchor="middle">{pixels(row.resolution)}</text>']
    for number, line in enumerate(lines):
        weight = ' font-weight="600"' if number == 0 else ""
        parts.append(
            f'<text x="{x:.1f}" y="{top + 15 * number:.0f}" text-anchor="middle"{weight}>{escape(line)}</text>'
        )
    share = f"{row.macs / macs:.0%}" if row.macs * 200 >= macs else "<1%"
    y = top + 15 * len(lines) + 2
    parts.append(
        f'<text x="{x:.1f}" y="{y:.0f}" text-anchor="middle" fill-opacity="0.7">{escape(share)} of MACs</text>'
    )
    return "".join(parts)
