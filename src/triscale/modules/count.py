"""What a traced module costs: the definitions of spec/cost.py, counted operation by operation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import prod

from torch import Tensor, nn

from triscale.modules.live import Life
from triscale.modules.trace import Graph, Node, Shape, trace

BYTES = 4  # of one fp32 number
CONVOLUTIONS = {f"{name}{rank}d" for name in ("conv", "conv_transpose") for rank in (1, 2, 3)} | {"convolution"}
PRODUCTS = {"mm": ("self", "mat2"), "matmul": ("self", "other"), "addmm": ("mat1", "mat2")}


@dataclass(frozen=True, slots=True)
class ModuleCost:
    """The cost of one image through a module.

    params: elements of its parameters, tied ones once. macs: multiply-accumulates of convolution and linear layers.
    activations: elements of all convolution outputs. memory: bytes of fp32 inference, 4 x (parameters + the most
    elements alive during any one operation).
    A module called twice counts its MACs, activations and memory twice, its parameters once.
    """

    params: int
    macs: int
    activations: int
    memory: int

    def values(self) -> dict[str, float]:
        """The four numbers by their words in a budget."""
        return {"params": self.params, "macs": self.macs, "activations": self.activations, "memory": self.memory}


def module_cost(module: nn.Module, example_input: Tensor) -> ModuleCost:
    """Count what `module` costs at batch 1 in eval mode, by tracing a copy of it.

    example_input: (B, channels, H, W) or whatever the module reads; only the first image is used.
    Returns: ModuleCost, by the same definitions as `triscale.cost` of a Network.
    Raises: ModuleError in one line when it cannot be traced.
    """
    graph = trace(module, example_input)
    return graph_cost(graph, sum(parameter.numel() for parameter in module.parameters()))


def graph_cost(graph: Graph, params: int) -> ModuleCost:
    """The cost of a graph at the shapes that it was traced with."""
    shapes = {node: node.shape for node in graph.nodes}
    macs, activations = work(graph.calls, shapes.__getitem__)
    alive = Life(graph).peak(lambda node: elements(node.shape))
    return ModuleCost(params, macs, activations, BYTES * (params + alive))


def work(calls: Iterable[Node], shape: Callable[[Node], Shape]) -> tuple[int, int]:
    """(MACs, activations) of some operations, with every tensor of the given shape."""
    macs = activations = 0
    for node in calls:
        if node.op in CONVOLUTIONS:
            made = prod(shape(node))
            activations += made
            macs += multiplications(node, shape)
        elif node.op == "linear" or _reads_parameter(node):
            macs += multiplications(node, shape)
    return macs, activations


def multiplications(node: Node, shape: Callable[[Node], Shape]) -> int:
    """MACs of one convolution, linear layer, or product of matrices with a parameter."""
    if node.op in PRODUCTS:
        first, _ = (node.arguments[name] for name in PRODUCTS[node.op])
        return prod(shape(node)) * shape(first)[-1]
    weight = shape(node.arguments["weight"])
    transposed = node.op.startswith("conv_transpose") or bool(node.arguments.get("transposed"))
    over = shape(node.arguments["input"]) if transposed else shape(node)
    return prod(over) * prod(weight[1:])


def is_work(node: Node) -> bool:
    """Whether an operation has MACs."""
    return node.op in CONVOLUTIONS or node.op == "linear" or _reads_parameter(node)


def _reads_parameter(node: Node) -> bool:
    """A product of matrices is a linear layer where one factor is a parameter, transposed or not."""
    if node.op not in PRODUCTS:
        return False
    return any(_from_parameter(node.arguments[name]) for name in PRODUCTS[node.op])


def _from_parameter(node: Node) -> bool:
    while node.kind == "call" and node.op in ("t", "transpose", "permute", "to", "view"):
        node = node.inputs()[0]
    return node.kind == "parameter"


def elements(shape: Shape | Sequence[Shape] | None) -> int:
    """How many numbers a value holds; all results together where there are several."""
    if shape is None:
        return 0
    return sum(elements(each) if isinstance(each, tuple) else 0 for each in shape) or prod(
        size for size in shape if isinstance(size, int)
    )


def parameter_sizes(graph: Graph) -> Mapping[str, int]:
    """Elements of each parameter that the graph reads."""
    return {node.key: elements(node.shape) for node in graph.nodes if node.kind == "parameter"}
