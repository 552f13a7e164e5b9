"""How long each value of a traced module lives: the peak of its memory, as an inference engine would run it.

A convolution with its BatchNorm and activation is one operation, a gate multiplies in place, views cost nothing, a
residual sum writes a new tensor: the definitions of spec/cost.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from triscale.modules.rules import ELEMENTWISE, UNARY
from triscale.modules.rules_shape import SHAPE_RULES
from triscale.modules.trace import Graph, Node

POINTWISE = (set(UNARY) | set(ELEMENTWISE) | {"batch_norm", "prelu"}) - {"softmax", "_softmax", "cumsum", "log_softmax"}
VIEWS = (set(SHAPE_RULES) | {"getitem", "alias", "detach", "contiguous", "clone", "to", "lift_fresh_copy"}) - {
    "cat", "concat", "concatenate", "stack", "pad", "constant_pad_nd", "repeat", "repeat_interleave", "flip", "roll",
    "pixel_shuffle", "pixel_unshuffle", "glu",
}  # fmt: skip
PADDED_FOR = ("conv1d", "conv2d", "conv3d")


@dataclass(eq=False, slots=True)
class Life:
    """When the memory of each value begins and ends. moments: each operation, and the values that exist during it."""

    graph: Graph
    moments: list[tuple[Node, tuple[Node, ...]]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.moments = _moments(self.graph)

    def peak(self, size: Callable[[Node], int], times: Mapping[Node, int] | None = None) -> int:
        """The most elements that exist during one operation, for given elements of each value.

        times: how often operations run; those that run 0 times have no moment.
        """
        sizes: dict[Node, int] = {}
        most = 0
        for moment, alive in self.moments:
            if times is not None and times.get(moment, 1) == 0:
                continue
            total = 0
            for node in alive:
                if node not in sizes:
                    sizes[node] = size(node)
                total += sizes[node]
            most = max(most, total)
        return most


def _moments(graph: Graph) -> list[tuple[Node, tuple[Node, ...]]]:
    steps = {node: step for step, node in enumerate(graph.nodes)}
    owner = _owners(graph, steps)
    last: dict[Node, int] = {}
    for node, held in owner.items():
        for user in node.users:
            last[held] = max(last.get(held, 0), steps[user])
    ending: Mapping[int, list[Node]] = defaultdict(list)
    for held, step in last.items():
        ending[step].append(held)
    alive: dict[Node, None] = {}
    moments = []
    for step, node in enumerate(graph.nodes):
        if node in owner and node.kind in ("input", "call"):
            alive[owner[node]] = None
            if node.kind == "call" and owner[node] is node:
                moments.append((node, tuple(alive)))
        for held in ending[step]:
            alive.pop(held, None)
    return moments


def _owners(graph: Graph, steps: Mapping[Node, int]) -> dict[Node, Node]:
    """Each value that lies in memory -> the value whose memory it is."""
    owner: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.kind == "input":
            owner[node] = node
        elif node.kind == "call" and node.shape is not None:
            held = [source for source in dict.fromkeys(node.inputs()) if source in owner]
            if held:  # what is made of parameters alone is made once, before anything runs
                owner[node] = _owner(node, held, owner, steps)
    return owner


def _owner(node: Node, held: list[Node], owner: dict[Node, Node], steps: Mapping[Node, int]) -> Node:
    first = held[0]
    if node.op in VIEWS or (node.op == "pad" and all(user.op in PADDED_FOR for user in node.users)):
        return owner[first]
    if node.op not in POINTWISE:
        return node
    full = [source for source in held if source.shape == node.shape]
    memories = {owner[source] for source in full}
    if len(memories) != 1:
        return node
    memory = memories.pop()
    if memory.kind == "input":
        return node
    return node if _needed_later(memory, node, owner, steps) else memory


def _needed_later(memory: Node, node: Node, owner: Mapping[Node, Node], steps: Mapping[Node, int]) -> bool:
    """Whether what lies in `memory` now is read after `node`, other than on the way to a value of the same place.

    x * sigmoid(x) reads x twice and still is one activation: an engine computes it element by element.
    """
    step = steps[node]
    now = [value for value, held in owner.items() if held is memory]
    late = {user for value in now for user in value.users if steps[user] > step and user is not node}
    return any(not _pointwise_of(user, memory, owner, node) for user in late)


def _pointwise_of(user: Node, memory: Node, owner: Mapping[Node, Node], node: Node) -> bool:
    """Whether `user` combines, element by element, only values of one memory, `node` among them."""
    if user.op not in POINTWISE or user.shape != node.shape:
        return False
    sources = [source for source in user.inputs() if source.shape == user.shape and source.kind == "call"]
    return node in sources and all(source is node or owner.get(source) is memory for source in sources)
