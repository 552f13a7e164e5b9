"""The drawing of a network."""

from dataclasses import replace
from xml.etree import ElementTree

from triscale.report.architecture import BLOCK, FILLS, picture
from triscale.spec.families import network

SVG = "{http://www.w3.org/2000/svg}"


def drawn(net):
    return ElementTree.fromstring(picture(net))


def boxes(root, kind):
    return [box for box in root.iter(f"{SVG}rect") if box.get("fill") == FILLS[kind] and box.get("width") != "10"]


def words(root):
    return [text.text for text in root.iter(f"{SVG}text")]


def test_every_block_is_a_box():
    root = drawn(network("efficientnet_b0"))
    assert [len(boxes(root, kind)) for kind in ("stem", "squeeze", "head")] == [1, 16, 1]
    assert {float(box.get("width")) for box in boxes(root, "squeeze")} == {BLOCK - 1.5}


def test_boxes_shrink_with_the_resolution():
    heights = [float(box.get("height")) for box in boxes(drawn(network("efficientnet_b0")), "squeeze")]
    assert heights == sorted(heights, reverse=True)
    assert heights[0] > 3 * heights[-1]


def test_labels_say_what_the_table_says():
    said = words(drawn(network("efficientnet_b0")))
    assert "224 × 224 px · 5.289M parameters · 385.8M MACs · 82 convolution and linear layers · 1000 classes" in said
    assert [line for line in said if line.startswith("MBConv")] == ["MBConv1"] + ["MBConv6"] * 6
    assert "192 channels, ×4" in said


def test_a_name_cannot_become_markup():
    svg = picture(replace(network("efficientnet_lite0"), name='<script>"x"</script>'))
    assert "<script>" not in svg
    assert words(ElementTree.fromstring(svg))[0] == '<script>"x"</script>'


def test_a_backbone_is_drawn_without_a_head():
    root = drawn(replace(network("efficientnet_b0"), head=None))
    assert boxes(root, "head") == []
    assert "no classifier" in " ".join(words(root))


def test_the_picture_is_small_and_refers_to_nothing_outside():
    svg = picture(network("efficientnet_b7"))
    assert len(svg) < 20_000
    assert "href" not in svg
    assert "url(" not in svg
