"""Images small enough to stand inside a page."""

from __future__ import annotations

import base64
import io

from PIL import Image

from triscale.data.images import open_image
from triscale.data.member import ImagePlace
from triscale.errors import FileError
from triscale.report.html import Html, element
from triscale.report.text import escape

SIDE = 168  # pixels; twice what a phone shows, for sharp displays
SMALL = 64  # up to this, an image is shown with its pixels as squares, and kept without loss


def thumbnail(path: ImagePlace, description: str) -> Html:
    """An <img> with the image inside it, or a line in its place where the file can no longer be read.

    description: what a screen reader says.
    """
    try:
        image = open_image(path, (SIDE, SIDE))
    except FileError:
        return gone()
    small = max(image.size) <= SMALL
    if not small:
        image.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    return embedded(image, description, "small" if small else "photo", exact=small)


def embedded(image: Image.Image, description: str, css: str, exact: bool = False, lines: bool = False) -> Html:
    """An <img> with an image inside it, as it is.

    exact: keeps every pixel. lines: keeps the colour of thin lines, which photographs do not need.
    """
    kind, data = "png" if exact else "jpeg", io.BytesIO()
    if exact:
        image.save(data, "PNG", optimize=True)
    else:
        image.save(data, "JPEG", quality=82, optimize=True, subsampling="4:4:4" if lines else "4:2:0")
    source = f"data:image/{kind};base64,{base64.b64encode(data.getvalue()).decode('ascii')}"
    return Html(f'<img class="{css}" alt="{escape(description)}" src="{source}">')


def gone() -> Html:
    """What stands in the place of an image that is not there."""
    return element("div", "this image can no longer be read", css="gone")
