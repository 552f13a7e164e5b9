"""Boxes with the names of their classes on a picture, legible on any background."""

from __future__ import annotations

import colorsys
import functools
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from triscale.data.detection.said import Corners

Colour = tuple[int, int, int]

RED: Colour = (225, 0, 30)
_DARK: Colour = (16, 16, 16)
_PAGE: Colour = (250, 250, 250)
_GREY: Colour = (95, 95, 95)
# told apart by people of any colour vision as far as that goes; none is the red of what is wrong
_FIRST: tuple[Colour, ...] = (
    (255, 176, 0), (0, 158, 255), (60, 215, 90), (240, 110, 220), (0, 220, 210), (255, 125, 60), (160, 125, 255),
    (205, 225, 40), (160, 100, 50), (45, 105, 215), (15, 135, 70), (165, 60, 150),
)  # fmt: skip
_GOLDEN = 0.61803398875  # steps of this part of the circle of hues never come close to each other
_SHOWN = 48  # letters of a name


@dataclass(frozen=True, slots=True)
class Mark:
    """One box to draw. box: (x1, y1, x2, y2) in pixels of the image, not necessarily inside of it.

    text: beside it. colour: see `class_colour`. dashed: for what is no plain object: a crowd, or a fault.
    """

    box: Corners
    text: str
    colour: Colour
    dashed: bool = False


def class_colour(number: int) -> Colour:
    """The colour of a class, always the same; after some thirty classes they come again."""
    colours = _palette()
    return colours[number % len(colours)]


@functools.cache
def _palette() -> tuple[Colour, ...]:
    """The first colours, and more that differ from all before, from the red of faults, and from black."""
    colours = list(_FIRST)
    for number in range(600):
        saturation, value = ((0.85, 1.0), (0.5, 0.95), (0.75, 0.68))[number % 3]
        red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, saturation, value)
        colour = round(255 * red), round(255 * green), round(255 * blue)
        differs = all(sum(abs(a - b) for a, b in zip(colour, each, strict=True)) >= 60 for each in (*colours, RED))
        if differs and 2 * red + 7 * green + blue >= 3.5:  # about its brightness
            colours.append(colour)
    return tuple(colours)


def draw_marks(image: Image.Image, marks: Sequence[Mark], least: int = 640, most: int = 1600) -> Image.Image:
    """A picture of an image with boxes and names.

    image: RGB. least, most: pixels of the picture's longer side; a smaller image is enlarged by a whole number, so that
    its own pixels stay visible, and a larger one made smaller; where both are one number, it is met.
    Returns: a new RGB image.
    """
    longer = max(image.size)
    scale = most / longer if longer > most or least == most else float(max(1, min(-(-least // longer), most // longer)))
    width, height = (max(1, round(side * scale)) for side in image.size)
    how = Image.Resampling.NEAREST if scale >= 1 else Image.Resampling.LANCZOS
    picture = image.convert("RGB") if scale == 1 else image.convert("RGB").resize((width, height), how)
    picture = picture.copy() if picture is image else picture
    pen = ImageDraw.Draw(picture)
    line, font = max(2, round(max(width, height) / 400)), _font(max(12, round(max(width, height) / 55)))
    page = _Page(pen, font, line, (width, height))
    placed = [_scaled(each.box, scale, (width, height), line) for each in marks]
    order = sorted(range(len(marks)), key=lambda number: -_area(placed[number]))  # small ones on top
    for number in order:
        _frame(pen, placed[number], marks[number], line)
    taken: list[Corners] = []
    for number in order:
        taken.append(_write(page, placed[number], marks[number], placed, taken))
    return picture


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _scaled(box: Corners, scale: float, size: tuple[int, int], line: int) -> Corners:
    """Where the frame is drawn: outside of what it frames; what leaves the picture is led along its edge."""
    left, top, right, bottom = (each * scale for each in box)
    (width, height), out = size, line + _edge(line)
    x1, x2 = (min(max(each, 0.0), width - 1.0) for each in (min(left, right) - out, max(left, right) + out - 1))
    y1, y2 = (min(max(each, 0.0), height - 1.0) for each in (min(top, bottom) - out, max(top, bottom) + out - 1))
    return x1, y1, x2, y2


def _edge(line: int) -> int:
    """Pixels of the dark lines on both sides of a line of colour."""
    return max(1, line // 3)


def _area(box: Corners) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _frame(pen: ImageDraw.ImageDraw, box: Corners, mark: Mark, line: int) -> None:
    """A line of the colour between two dark ones, which show it on what is as bright."""
    edge = _edge(line)
    x1, y1, x2, y2 = box
    pen.rectangle((x1 - edge, y1 - edge, x2 + edge, y2 + edge), outline=_DARK, width=line + 2 * edge)
    if not mark.dashed:
        pen.rectangle(box, outline=mark.colour, width=line)
        return
    inner = line - 1
    for start, end, level in ((x1, x2, y1), (x1, x2, y2 - inner)):
        for place in range(int(start), int(end) + 1, 5 * line):
            pen.rectangle((place, level, min(place + 3 * line, end), level + inner), fill=mark.colour)
    for start, end, level in ((y1, y2, x1), (y1, y2, x2 - inner)):
        for place in range(int(start), int(end) + 1, 5 * line):
            pen.rectangle((level, place, level + inner, min(place + 3 * line, end)), fill=mark.colour)


@dataclass(frozen=True, slots=True)
class _Page:
    """What is drawn on. line, and size (width, height), in pixels."""

    pen: ImageDraw.ImageDraw
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    line: int
    size: tuple[int, int]


def _write(page: _Page, box: Corners, mark: Mark, boxes: Sequence[Corners], taken: Sequence[Corners]) -> Corners:
    """Write the text on a plate of the colour, above the box or where there is room; returns the plate."""
    text = mark.text if len(mark.text) <= _SHOWN else mark.text[: _SHOWN - 1] + "…"
    left, top, right, bottom = page.pen.textbbox((0, 0), text, font=page.font)
    _, highest, _, lowest = page.pen.textbbox((0, 0), "Âgh", font=page.font)
    highest, line = min(top, highest), page.line
    x, y, end, base = _place(page, box, right - left + 3 * line, max(bottom, lowest) - highest + line, boxes, taken)
    page.pen.rectangle((x - 1, y - 1, end, base), fill=_DARK)
    page.pen.rectangle((x, y, end - 1, base - 1), fill=mark.colour)
    red, green, blue = mark.colour
    ink = _DARK if 0.299 * red + 0.587 * green + 0.114 * blue > 110 else (255, 255, 255)
    page.pen.text((x + 1.5 * line - left, y + line / 2 - highest), text, font=page.font, fill=ink)
    return x, y, end, base


def _place(
    page: _Page, box: Corners, width: float, height: float, boxes: Sequence[Corners], taken: Sequence[Corners]
) -> Corners:
    """Where a plate hides the least: other plates above all, then what is in boxes; near a corner of its own box."""
    x1, y1, x2, y2 = box
    wanted = [(x1, y1 - height), (x1, y2 + 1), (x2 - width + 1, y1 - height), (x2 - width + 1, y2 + 1)]
    wanted += [(x2 + 1, y1), (x1 - width, y1), (x2 + 1, y2 - height), (x1 - width, y2 - height), (x1, y1)]
    best, least = (0.0, 0.0, width, height), float("inf")
    for x, y in wanted:
        plate = _inside((x, y, x + width, y + height), page.size)
        moved = abs(plate[0] - x) * height + abs(plate[1] - y) * width
        hidden = 3 * sum(_shared(plate, each) for each in taken) + 0.5 * sum(_shared(plate, each) for each in boxes)
        if hidden + moved < least:
            best, least = plate, hidden + moved
    return best


def _inside(plate: Corners, size: tuple[int, int]) -> Corners:
    x1, y1, x2, y2 = plate
    right = max(0.0, x2 - size[0])
    down = max(0.0, y2 - size[1])
    x1, x2, y1, y2 = x1 - right, x2 - right, y1 - down, y2 - down
    return max(x1, 0.0), max(y1, 0.0), x2 + max(-x1, 0.0), y2 + max(-y1, 0.0)


def _shared(one: Corners, other: Corners) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def contact_sheet(cells: Sequence[tuple[Image.Image, Sequence[Mark], str, bool]], side: int = 400) -> Image.Image:
    """Many small pictures with their captions on one page.

    cells: (image, its marks, caption, whether something is wrong with it). side: pixels of a picture's longer side.
    Returns: an RGB image, at most four pictures wide.
    """
    columns, font, gap = min(4, max(1, len(cells))), _font(15), 12
    rows = -(-len(cells) // columns)
    pictures = [draw_marks(image, marks, side, side) for image, marks, _, _ in cells]
    # a row is as high as its highest picture: photographs lie on their side
    heights = [max(each.height for each in pictures[row * columns : (row + 1) * columns]) for row in range(rows)]
    page = Image.new("RGB", (columns * (side + gap) + gap, sum(heights) + rows * (gap + 24) + gap), _PAGE)
    pen, top = ImageDraw.Draw(page), gap
    for number, (picture, (_, _, caption, wrong)) in enumerate(zip(pictures, cells, strict=True)):
        row, column = divmod(number, columns)
        left = gap + column * (side + gap)
        left += (side - picture.width) // 2
        while caption and pen.textlength(caption, font=font) > side:
            caption = caption[:-2].rstrip("…") + "…"
        page.paste(picture, (left, top))
        pen.text((left, top + heights[row] + 3), caption, font=font, fill=RED if wrong else _GREY)
        top += heights[row] + gap + 24 if column == columns - 1 else 0
    return page
