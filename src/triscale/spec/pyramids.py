"""The pyramids that the literature compares, as edge lists.

Each function takes the same arguments, so that one can be chosen by its name in PYRAMIDS: channels of every map,
repeats, levels (finest, coarsest), fusion of a node's inputs, activation. Fusion is by default as in the paper.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from triscale.errors import SpecError
from triscale.spec.block import Activation
from triscale.spec.pyramid import Fusion, Node, Pyramid

LEVELS = (3, 7)
ONE_MAP = 5  # stride 32: the coarsest map of a classification network


def one_map(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """No pyramid: one map alone, that at level 5, or the nearest of `levels`.

    Source: YOLO, https://arxiv.org/abs/1506.02640; Faster R-CNN, https://arxiv.org/abs/1506.01497.
    """
    level = min(max(levels[0], ONE_MAP), levels[1])
    return Pyramid("one_map", (), (level, level), channels, repeats, fusion, activation=activation)


def ssd(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """SSD's hierarchy: maps as the backbone makes them, at one width, and no edge between levels.

    Source: SSD, https://arxiv.org/abs/1512.02325, figure 2 (which makes coarser maps with convolutions of their own).
    """
    return Pyramid("ssd", (), levels, channels, repeats, fusion, activation=activation)


def fpn(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """FPN: down from the coarsest level.

    Source: https://arxiv.org/abs/1612.03144; as drawn in EfficientDet, https://arxiv.org/abs/1911.09070, figure 2 a.
    """
    return _made("fpn", _down(levels), channels, repeats, levels, fusion, activation)


def panet(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """PANet: FPN, then up again from the finest level.

    Source: https://arxiv.org/abs/1803.01534; as drawn in EfficientDet, https://arxiv.org/abs/1911.09070, figure 2 b.
    """
    nodes = _down(levels)
    nodes += _up(levels, _last_of_each_level(levels, nodes), len(nodes))
    return _made("panet", nodes, channels, repeats, levels, fusion, activation)


def nas_fpn(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """NAS-FPN's published cell, in which a node attends to two maps or sums them; for levels 3 to 7 only.

    Raises: SpecError for other levels: the cell was searched for these.
    Source: https://arxiv.org/abs/1904.07392, figure 6.
    """
    if tuple(levels) != (3, 7):
        raise SpecError(
            f"NAS-FPN's cell was searched for levels (3, 7), got {tuple(levels)}; the other pyramids take any."
        )
    p3, p4, p5, p6, p7 = range(5)
    nodes = [
        Node(4, (p6, p4), "attend"),  # map 5
        Node(4, (5, p4)),
        Node(3, (6, p3)),  # 7: leaves at level 3
        Node(4, (7, 6)),  # 8: leaves at level 4
        Node(5, (8, 7), "attend", convolve=False),
        Node(5, (p5, 9)),  # 10: leaves at level 5
        Node(7, (10, 6), "attend", convolve=False),
        Node(7, (p7, 11)),  # 12: leaves at level 7
        Node(6, (12, 10), "attend"),  # leaves at level 6
    ]
    return _made("nas_fpn", nodes, channels, repeats, levels, fusion, activation)


def fully_connected(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """Fully connected FPN: PANet, and an edge from every input to every output.

    Source: EfficientDet's first version, https://arxiv.org/abs/1911.09070v1, figure 2 d; its code was not published.
    """
    nodes = _down(levels)
    count = levels[1] - levels[0] + 1
    first = len(nodes)
    downs = _last_of_each_level(levels, nodes)
    for number, node in enumerate(_up(levels, downs, first)):
        everything = dict.fromkeys((*range(count), *node.inputs))
        nodes.append(Node(levels[0] + number, tuple(everything)))
    return _made("fully_connected", nodes, channels, repeats, levels, fusion, activation)


def simplified_panet(
    channels: int,
    repeats: int = 1,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "sum",
    activation: Activation = "silu",
) -> Pyramid:
    """PANet without the nodes that have one input only, for they combine nothing.

    Source: EfficientDet's first version, https://arxiv.org/abs/1911.09070v1, figure 2 e; section 3.2.
    """
    nodes = _without_single_inputs(panet(channels, 1, levels).nodes, levels)
    return _made("simplified_panet", nodes, channels, repeats, levels, fusion, activation)


def bifpn(
    channels: int,
    repeats: int = 3,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "fast",
    activation: Activation = "silu",
) -> Pyramid:
    """BiFPN: down from the coarsest level and up again, each level also from its own input.

    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 3.2 and figure 2 d.
    """
    nodes = _with_own_inputs(simplified_panet(channels, 1, levels).nodes, levels)
    return _made("bifpn", nodes, channels, repeats, levels, fusion, activation)


Make = Callable[[int, int, tuple[int, int], Fusion, Activation], Pyramid]
PYRAMIDS: Mapping[str, Make] = {
    "one_map": one_map,
    "ssd": ssd,
    "fpn": fpn,
    "panet": panet,
    "nas_fpn": nas_fpn,
    "fully_connected": fully_connected,
    "simplified_panet": simplified_panet,
    "bifpn": bifpn,
}


def bifpn_steps(
    channels: int,
    repeats: int = 3,
    levels: tuple[int, int] = LEVELS,
    fusion: Fusion = "fast",
    activation: Activation = "silu",
) -> dict[str, Pyramid]:
    """How PANet becomes BiFPN, one step at a time, each with what was changed as its name.

    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 3.2.
    """
    return {
        "panet": panet(channels, 1, levels, fusion, activation),
        "one-input nodes dropped": simplified_panet(channels, 1, levels, fusion, activation),
        "same-level edge added": bifpn(channels, 1, levels, fusion, activation),
        "repeated": bifpn(channels, repeats, levels, fusion, activation),
    }


def _made(
    kind: str,
    nodes: list[Node],
    channels: int,
    repeats: int,
    levels: tuple[int, int],
    fusion: Fusion,
    activation: Activation,
) -> Pyramid:
    return Pyramid(kind, tuple(nodes), levels, channels, repeats, fusion, activation=activation)


def _down(levels: tuple[int, int]) -> list[Node]:
    """A node at every level, coarsest first, each of its own input and the node before."""
    finest, coarsest = levels
    count = coarsest - finest + 1
    nodes = [Node(coarsest, (count - 1,))]
    for level in range(coarsest - 1, finest - 1, -1):
        nodes.append(Node(level, (level - finest, count + len(nodes) - 1)))
    return nodes


def _up(levels: tuple[int, int], owns: dict[int, int], before: int) -> list[Node]:
    """A node at every level, finest first, each of the level's own map and the node before.

    owns: level -> that map. before: nodes that stand before these.
    """
    finest, coarsest = levels
    count = coarsest - finest + 1
    nodes: list[Node] = []
    for level in range(finest, coarsest + 1):
        below = () if level == finest else (count + before + len(nodes) - 1,)
        nodes.append(Node(level, (owns[level], *below)))
    return nodes


def _last_of_each_level(levels: tuple[int, int], nodes: list[Node]) -> dict[int, int]:
    """Level -> the number of the last map there."""
    made = Pyramid("", tuple(nodes), levels)
    return dict(zip(made.level_numbers, made.outputs, strict=True))


def _without_single_inputs(nodes: tuple[Node, ...], levels: tuple[int, int]) -> list[Node]:
    """The nodes that combine something; who read another reads what that had read."""
    count = levels[1] - levels[0] + 1
    stands_for = {number: number for number in range(count)}
    kept: list[Node] = []
    for number, node in enumerate(nodes, start=count):
        inputs = tuple(stands_for[each] for each in node.inputs)
        if len(inputs) == 1:
            stands_for[number] = inputs[0]
        else:
            kept.append(Node(node.level, inputs, node.combine, node.convolve))
            stands_for[number] = count + len(kept) - 1
    return kept


def _with_own_inputs(nodes: list[Node] | tuple[Node, ...], levels: tuple[int, int]) -> list[Node]:
    """The nodes, each of which reads its level's own input too, first of all."""
    made = []
    for node in nodes:
        own = node.level - levels[0]
        made.append(Node(node.level, tuple(dict.fromkeys((own, *node.inputs))), node.combine, node.convolve))
    return made
