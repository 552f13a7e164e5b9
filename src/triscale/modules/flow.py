"""The dimensions of every value of a traced module in groups of channels: the rules, carried out in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from triscale.errors import ModuleError
from triscale.modules.channels import Dim, Dims, MisalignedError, fixed, freeze, fresh, is_fixed, size_of, unify
from triscale.modules.trace import Graph, Node

Values = Any  # Dims of a tensor; a tuple of them for an operation with several results; None for what is no tensor
Rule = Callable[["Flow", Node], Values]


@dataclass(eq=False, slots=True)
class Flow:
    """What is known so far. dims: of each node. numbers: of each grouped convolution, its number of groups."""

    dims: dict[Node, Values] = field(default_factory=dict)
    numbers: dict[Node, Dim] = field(default_factory=dict)

    def of(self, node: Node, argument: str) -> Dims:
        """The dimensions of a tensor argument."""
        return self.dims[node.arguments[argument]]

    def maybe(self, node: Node, argument: str) -> Dims | None:
        """The dimensions of an argument that may be None, absent or a number."""
        value = node.arguments.get(argument)
        return self.dims[value] if isinstance(value, Node) else None


def flow(
    graph: Graph, rules: Mapping[str, Rule], kernels: frozenset[str] = frozenset(), *, free_constants: bool = False
) -> Flow:
    """Apply the rule of each operation in order; afterwards inputs and outputs keep their widths.

    kernels: names of weights of convolutions, which are known to end in the size of their window. free_constants: as if
    tensors that are neither parameters nor buffers could change their size, which they cannot.
    Raises: ModuleError naming operation and module path for what no rule covers or a rule cannot do.
    """
    known = Flow()
    for node in graph.nodes:
        free = free_constants and node.kind == "constant"
        known.dims[node] = tuple(fresh(size) for size in node.shape) if free else _values(known, node, rules)
        if node.key in kernels:
            known.dims[node] = (*known.dims[node][:2], *fixed_dims(node.shape[2:]))
    return known


def _values(known: Flow, node: Node, rules: Mapping[str, Rule]) -> Values:
    if node.kind == "output":
        for source in node.inputs():
            freeze_all(known.dims[source])
        return None
    if node.kind in ("parameter", "buffer"):
        return tuple(fresh(size) for size in node.shape)
    if node.kind != "call":
        return None if node.shape is None else fixed_dims(node.shape)
    rule = rules.get(node.op)
    if rule is None:
        return _unknown(known, node)
    try:
        values = rule(known, node)
    except MisalignedError:
        raise ModuleError(
            f"{node.path}: {node.op} cuts channels where no group of them ends, so their width cannot change; "
            f"scale the parts around it, or keep such channels out of it."
        ) from None
    assert _sizes(values) == node.shape or node.shape is None, (node.op, _sizes(values), node.shape)
    return values


def _unknown(known: Flow, node: Node) -> Values:
    """An operation without a rule is harmless where nothing that it reads can change."""
    for source in node.inputs():
        if not all_fixed(known.dims[source]):
            raise ModuleError(
                f"{node.path}: the operation {node.op} has no rule by which the widths of its result follow from those "
                f"of its inputs; replace it, or scale the module without this part."
            )
    return fixed_dims(node.shape)


def fixed_dims(shape: Any) -> Values:
    """Dimensions that never change, for a shape or a tuple of shapes."""
    if shape is None:
        return None
    if all(isinstance(size, int) for size in shape):
        return tuple(fixed(size) for size in shape)
    return tuple(fixed_dims(each) for each in shape)


def tensors(values: Values) -> list[Dims]:
    """The tensors in a node's values, one or several; no tensor, none."""
    if values is None:
        return []
    if not values or not values[0] or hasattr(values[0][0], "group"):
        return [values]
    return [dims for each in values for dims in tensors(each)]


def all_fixed(values: Values) -> bool:
    """Whether no width is in any of the tensors."""
    return all(is_fixed(dim) for dims in tensors(values) for dim in dims)


def freeze_all(values: Values) -> None:
    """Let every width in the tensors stay as it is."""
    for dims in tensors(values):
        for dim in dims:
            freeze(dim)


def _sizes(values: Values) -> Any:
    if values is None:
        return None
    found = tensors(values)
    sizes = tuple(tuple(size_of(dim) for dim in dims) for dims in found)
    return sizes[0] if len(found) == 1 and found[0] is values else sizes


def broadcast(*operands: Dims) -> Dims:
    """The dimensions of an elementwise result; dimensions that meet are the same from then on."""
    rank = max(len(dims) for dims in operands)
    result: list[Dim] = []
    for place in range(-rank, 0):
        meeting = [dims[place] for dims in operands if len(dims) >= -place]
        wide = [dim for dim in meeting if size_of(dim) != 1]
        for other in wide[1:]:
            unify(wide[0], other)
        result.append(wide[0] if wide else meeting[0])
    return tuple(result)
