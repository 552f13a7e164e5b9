"""Children of a container that are called one after another: what blocks that repeat are made of."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from triscale.modules.count import is_work
from triscale.modules.trace import Graph, Node

GENERIC = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # containers whose class says nothing of what is inside


@dataclass(frozen=True, slots=True, eq=False)
class Child:
    """A called child of a container with one tensor in and one out; without nodes it passes its input on."""

    name: str
    path: str
    module: nn.Module
    nodes: tuple[Node, ...]
    source: Node | None
    result: Node | None
    kind: Hashable

    @property
    def weights(self) -> int:
        """Convolutions and linear layers in it."""
        return sum(is_work(node) for node in self.nodes)


@dataclass(eq=False, slots=True)
class Calls:
    """The operations of a graph by module call."""

    graph: Graph
    nodes: dict[str, list[Node]] = field(default_factory=lambda: defaultdict(list))
    keys: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def __post_init__(self) -> None:
        for node in self.graph.calls:
            for key, path in node.calls:
                if key not in self.nodes:
                    self.keys[path].append(key)
                self.nodes[key].append(node)


def chains(module: nn.Module, graph: Graph) -> dict[str, list[list[Child]]]:
    """By path of a container: its children that are called once each and feed one another, in runs."""
    calls = Calls(graph)
    found = {}
    for path, container in module.named_modules():
        runs = list(_runs(path, container, calls))
        if any(child.weights for run in runs for child in run):
            found[path] = runs
    return found


def _runs(path: str, container: nn.Module, calls: Calls) -> Iterator[list[Child]]:
    run: list[Child] = []
    for name, module in container.named_children():
        child = _child(f"{path}.{name}" if path else name, name, module, calls)
        before = next((each.result for each in reversed(run) if each.result is not None), None)
        if child is None or (child.source is not None and before is not None and child.source is not before):
            if run:
                yield run
            run = []
        if child is not None:
            run.append(child)
    if run:
        yield run


def _child(path: str, name: str, module: nn.Module, calls: Calls) -> Child | None:
    """None for a child that is called several times, or that has several tensors in or out."""
    keys = calls.keys.get(path, [])
    if not keys and next(module.parameters(), None) is None and not isinstance(module, GENERIC):
        return Child(name, path, module, (), None, None, type(module))
    if len(keys) != 1:
        return None
    nodes = tuple(calls.nodes[keys[0]])
    inside = set(nodes)
    sources = {s for node in nodes for s in node.inputs() if s not in inside and s.kind in ("input", "call")}
    results = [node for node in nodes if any(user not in inside for user in node.users)]
    if len(sources) != 1 or len(results) != 1:
        return None
    return Child(name, path, module, nodes, sources.pop(), results[0], _kind(module, nodes))


def _kind(module: nn.Module, nodes: Sequence[Node]) -> Hashable:
    """What makes two children blocks of one kind: their class, or what they do where the class says nothing."""
    if not isinstance(module, GENERIC):
        return type(module)
    kernels = [node.arguments["weight"].shape[2:] for node in nodes if "weight" in node.arguments and is_work(node)]
    return type(module), tuple(node.op for node in nodes), tuple(kernels)
