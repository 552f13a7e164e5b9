"""The five panels of scaling, drawn to scale."""

import pytest
from matplotlib.patches import Rectangle

from tests.report.test_scaling import texts
from triscale.report.panels import Box, boxes, draw_panels, scaling_panels
from triscale.spec.families import network
from triscale.spec.rules import RULES, fast_rule
from triscale.spec.scaling import scale

B0 = network("efficientnet_b0")
PANELS = scaling_panels(B0)
FIGURE = draw_panels(PANELS)


def drawn(number):
    """(channels, pixels) of every box of a panel."""
    boxes = [each for each in FIGURE.axes[2 * number + 1].patches if isinstance(each, Rectangle)]
    return [(each.get_width(), each.get_height()) for each in boxes]


def test_the_panels_are_the_papers_five_at_four_times_the_macs():
    assert [panel.way for panel in PANELS] == ["baseline", "width", "depth", "resolution", "compound"]
    expected = [B0, scale(B0, width=2), scale(B0, depth=4), scale(B0, resolution=2)]
    assert [panel.network for panel in PANELS[:4]] == expected
    assert PANELS[4].multipliers == pytest.approx(RULES["compound"].multipliers(RULES["compound"].phi(4)))


def test_a_box_is_a_block_with_its_channels_and_pixels():
    assert boxes(B0)[:4] == (Box(-1, 32, 112), Box(0, 16, 112), Box(1, 24, 56), Box(1, 24, 56))
    assert boxes(B0)[-1] == Box(6, 320, 7)
    assert boxes(network("resnet50"))[0] == Box(-1, 64, 56)  # behind the pool


def test_boxes_are_drawn_to_one_scale():
    assert drawn(0)[0] == (32, 112)
    assert len(drawn(2)) == 65  # four times 16 blocks, and the stem
    assert [width for width, _ in drawn(1)] == [2 * width for width, _ in drawn(0)]
    assert [height for _, height in drawn(3)] == [2 * height for _, height in drawn(0)]
    rows = FIGURE.axes[1::2]
    assert len({axes.get_xlim() for axes in rows}) == 1
    tall = [axes.get_ylim()[1] / axes.get_window_extent().height for axes in rows]
    assert max(tall) == pytest.approx(min(tall), rel=0.05)


def test_every_panel_says_what_changed_and_what_it_costs():
    said = " | ".join(texts(FIGURE))
    for words in (
        "width ×2 | 16 blocks, 224 × 224 px | 18.12M parameters | 1.45G MACs (×3.76)",
        "depth ×4 | 64 blocks",
        "resolution ×2 | 16 blocks, 448 × 448 px | 5.289M parameters | 1.538G MACs (×3.99)",
        "depth ×1.47, width ×1.22, | resolution ×1.35 | 26 blocks, 301 × 301 px",
    ):
        assert words in said


@pytest.mark.parametrize("name", ["mobilenet_v3_large", "resnet50", "efficientnetv2_s"])
def test_any_network_has_its_panels_and_no_words_overlap(name):
    figure = draw_panels(scaling_panels(network(name), fast_rule()))
    frame = figure.bbox
    placed = [text.get_window_extent() for axes in figure.axes for text in axes.texts]
    assert all(frame.x0 <= b.x0 and b.x1 <= frame.x1 and frame.y0 <= b.y0 and b.y1 <= frame.y1 for b in placed)
    assert not any(a.overlaps(b) for i, a in enumerate(placed) for b in placed[:i])
