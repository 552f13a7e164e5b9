"""What all plots share: colours, style, and how a figure becomes a file or a part of a page."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from triscale import atomic
from triscale.errors import MissingExtraError, SpecError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Okabe and Ito's palette, told apart by colour-blind eyes; lines differ in style too.
BLUE, ORANGE, GREEN, VERMILLION, PURPLE = "#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7"
GREY = "#8d99ae"
INK = "#1b2733"  # becomes currentColor inside a page, so that its dark style recolours it
FONT = "system-ui, Segoe UI, Helvetica, Arial, sans-serif"
DOTS = 144  # per inch of a PNG


@contextmanager
def style() -> Generator[None]:
    """Draw in the house style inside this block. Raises: MissingExtraError without matplotlib."""
    try:
        import matplotlib
    except ImportError:
        raise MissingExtraError("matplotlib", "train", "drawing plots") from None
    ink = {f"{part}color": INK for part in ("text.", "axes.label", "axes.edge", "xtick.", "ytick.")}
    settings: dict[Any, Any] = {
        **ink, "svg.fonttype": "none", "svg.hashsalt": "triscale", "font.size": 9, "font.family": ["DejaVu Sans"],
        "axes.spines.top": False, "axes.spines.right": False, "axes.linewidth": 0.8, "figure.dpi": 72,
        "axes.facecolor": "none", "lines.linewidth": 1.8, "axes.unicode_minus": False,
    }  # fmt: skip
    with matplotlib.rc_context(settings), warnings.catch_warnings():
        # Names in other scripts: the browser has the font that is only missing for measuring.
        warnings.filterwarnings("ignore", message=r"Glyph .* missing from", category=UserWarning)
        yield


def figure(width: float, height: float) -> Figure:
    """An empty figure of that many inches, which makes room for all that it holds."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def svg(drawing: Figure, prefix: str, title: str) -> str:
    """The figure as an <svg> element whose ids begin with `prefix`, so that several can stand in one page."""
    file = io.StringIO()
    metadata = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    drawing.savefig(file, format="svg", transparent=True, metadata=metadata)
    text = file.getvalue()
    # A style inside a drawing would hold for the whole page that it stands in.
    text = re.sub(r"<metadata>.*?</metadata>|<style.*?</style>", "", text[text.index("<svg") :], flags=re.DOTALL)
    text = re.sub(r'(\bid="|url\(#|href="#)', rf"\1{prefix}-", text)
    text = re.sub(r"'DejaVu Sans'[^;\"]*", FONT, text).replace(INK, "currentColor")
    opening = f'<svg class="plot" role="img" color="{INK}" '
    return text.replace("<svg ", opening, 1).replace(">", f">\n <title>{title}</title>", 1)


def require_picture(option: str, path: Path) -> None:
    """Raise SpecError unless the name of a picture tells a format that we write; ask before any work is done."""
    if path.suffix not in (".png", ".svg"):
        raise SpecError(f"{option} writes PNG or SVG, got {path.name!r}; give a name that ends in .png or .svg.")


def write(drawing: Figure, path: Path) -> None:
    """Write a figure as a file of its own, dark on white: .png or .svg. The same numbers give the same bytes.

    Raises: FileError when it cannot be written.
    """
    file = io.BytesIO()
    with style():  # which also fixes the ids in an SVG, and keeps its words as words
        if path.suffix == ".png":
            drawing.savefig(file, format="png", dpi=DOTS, facecolor="white", metadata={"Software": None})
        else:
            drawing.savefig(file, format="svg", facecolor="white", metadata={"Date": None, "Creator": None})
    data = file.getvalue()
    if path.suffix == ".svg":
        data = re.sub(rb"'DejaVu Sans'[^;\"]*", FONT.encode(), data)
    atomic.write_bytes(path, data)
