"""The pyramids that the literature compares, as edge lists."""

from __future__ import annotations

from triscale.spec.block import Activation
from triscale.spec.pyramid import Fusion, Node, Pyramid


def bifpn(
    channels: int,
    repeats: int,
    levels: tuple[int, int] = (3, 7),
    fusion: Fusion = "fast",
    activation: Activation = "silu",
) -> Pyramid:
    """BiFPN: down from the coarsest level and up again, each level also from its own input.

    Source: EfficientDet, https://arxiv.org/abs/1911.09070, section 3.2 and figure 2 d.
    """
    finest, coarsest = levels
    count = coarsest - finest + 1
    nodes: list[Node] = []
    above = count - 1  # the map that comes from the coarser level
    down = {}
    for level in range(coarsest - 1, finest - 1, -1):
        nodes.append(Node(level, (level - finest, above)))
        above = down[level] = count + len(nodes) - 1
    below = above
    for level in range(finest + 1, coarsest + 1):
        own = (level - finest,) if level == coarsest else (level - finest, down[level])
        nodes.append(Node(level, (*own, below)))
        below = count + len(nodes) - 1
    return Pyramid("bifpn", tuple(nodes), levels, channels, repeats, fusion, activation=activation)
