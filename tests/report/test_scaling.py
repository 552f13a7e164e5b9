"""The picture of what scaling costs."""

import math

import pytest

from triscale.report.canvas import write
from triscale.report.scaling import COLORS, Published, draw_curves
from triscale.spec.curves import scaling_curves
from triscale.spec.families import network
from triscale.spec.rules import RULES

LITE0 = network("efficientnet_lite0")
CURVES = scaling_curves(LITE0)
PUBLISHED = [
    Published("baseline", 4e8, 0.75),
    Published("depth", 16e8, 0.78),
    Published("compound", 17e8, 0.8, sure=False),
    Published("released", 6e8, 0.767, label="lite1", source="Google, float"),
    Published("released", 9e8, 0.776, label="lite2", source="Google, float"),
]


def texts(figure):
    from matplotlib.text import Text

    return [text.get_text() for text in figure.findobj(Text) if text.get_text()]


def lines(axes, color):
    return [line for line in axes.lines if line.get_color() == color]


def test_three_costs_are_drawn_over_macs_and_every_rule_has_its_line():
    figure = draw_curves(LITE0, CURVES)
    assert [axes.get_ylabel() for axes in figure.axes] == ["parameters", "activations", "memory, fp32, batch 1"]
    assert {axes.get_xlabel() for axes in figure.axes} == {"MACs"}
    assert {"depth", "width", "resolution", "compound", "fast compound", "baseline"} <= set(texts(figure))


@pytest.mark.parametrize("name", RULES)
def test_a_line_is_the_numbers_of_its_curve(name):
    points = next(curve.points for curve in CURVES if curve.rule.name == name)
    axes = draw_curves(LITE0, CURVES).axes[1]
    (line,) = lines(axes, COLORS[name])
    assert list(line.get_xdata()) == [point.macs for point in points]
    assert list(line.get_ydata()) == [point.activations for point in points]


def test_published_accuracies_have_a_panel_and_say_what_is_not_sure():
    figure = draw_curves(LITE0, CURVES, PUBLISHED)
    panel = figure.axes[3]
    assert panel.get_ylabel() == "ImageNet top-1 as published, %"
    said = "hollow: multipliers not published, at the MACs in print\ngrey: as released (Google, float)"
    assert {"78.0", "80.0", "lite1", "lite2", said} <= set(texts(figure))
    hollow = [line for line in panel.lines if line.get_markerfacecolor() == "white"]
    assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in hollow] == [(17e8, 80.0)]


def test_no_words_overlap_or_are_cut_off():
    figure = draw_curves(LITE0, CURVES, PUBLISHED)
    frame = figure.bbox
    placed = []
    for axes in figure.axes:
        placed += [axes.xaxis.label, axes.yaxis.label, *axes.texts]
    boxes = [each.get_window_extent() for each in placed]
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in boxes)
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[:i]]
    assert not any(a.overlaps(b) for a, b in pairs)


@pytest.mark.parametrize(("suffix", "begins"), [(".png", b"\x89PNG"), (".svg", b"<?xml")])
def test_a_picture_is_a_file_and_the_same_numbers_give_the_same_bytes(tmp_path, suffix, begins):
    for name in ("one", "two"):
        write(draw_curves(LITE0, CURVES, PUBLISHED), tmp_path / f"{name}{suffix}")
    one, two = ((tmp_path / f"{name}{suffix}").read_bytes() for name in ("one", "two"))
    assert one == two
    assert one.startswith(begins)
    assert math.log10(len(one)) < 5.5


def test_released_networks_alone_make_a_panel_too():
    panel = draw_curves(LITE0, CURVES, PUBLISHED[3:]).axes[3]
    (line,) = panel.lines
    assert list(line.get_xdata()) == [6e8, 9e8]
    assert list(line.get_ydata()) == pytest.approx([76.7, 77.6])
    assert panel.get_title("left") == "grey: as released (Google, float)"
