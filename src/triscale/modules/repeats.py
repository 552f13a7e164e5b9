"""Which blocks of a traced module repeat: the stages that depth acts on.

A stage is a run of neighbouring blocks of one kind in one container whose code goes through its children in order. Its
first block may change the shape; each of the others maps a shape to the same shape, so it may be repeated or dropped.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from torch import nn

from triscale.modules.count import is_work
from triscale.modules.trace import Graph, Node

LONGEST_UNIT = 8  # children of a flat nn.Sequential that may form one block together
GENERIC = (nn.Sequential, nn.ModuleList, nn.ModuleDict)  # containers whose class says nothing of what is inside


@dataclass(frozen=True, slots=True, eq=False)
class Unit:
    """One block: neighbouring children of a container, in order. source and result: the one tensor in, and out."""

    names: tuple[str, ...]
    nodes: tuple[Node, ...]
    source: Node
    result: Node

    @property
    def keeps_shape(self) -> bool:
        """Whether it can stand behind itself."""
        return self.source.shape == self.result.shape


@dataclass(frozen=True, slots=True, eq=False)
class Stage:
    """A run of blocks in the module at `path`. fixed_because: why it cannot be deepened; empty where it can."""

    path: str
    units: tuple[Unit, ...]
    fixed_because: str = ""

    @property
    def name(self) -> str:
        """Where it is, for people: its container, and which of its children where it is not all of them."""
        first, last = self.units[0].names[0], self.units[-1].names[-1]
        span = first if first == last else f"{first}..{last}"
        return f"{self.path}.{span}" if self.path else span

    @property
    def droppable(self) -> int:
        """Blocks that may be dropped from its end; the first always stays."""
        return 0 if self.fixed_because else len(self.units) - 1


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


def find_stages(found: dict[str, list[list[Child]]], iterated: set[tuple[str, int]], graph: Graph) -> list[Stage]:
    """The stages among chains of children, in the order in which they run.

    Where blocks repeat inside blocks that repeat, the outer ones count.
    iterated: (path, number of the chain) of those whose code goes through them in order, whatever they are.
    """
    stages: list[Stage] = []
    _descend("", found, iterated, stages)
    steps = {node: step for step, node in enumerate(graph.nodes)}
    return sorted(stages, key=lambda stage: steps[stage.units[0].nodes[0]])


def _descend(path: str, found: dict[str, list[list[Child]]], iterated: set[tuple[str, int]], out: list[Stage]) -> None:
    inside = f"{path}." if path else ""
    taken: set[str] = set()
    lone: list[list[Child]] = []
    for number, run in enumerate(found.get(path, [])):
        if (path, number) not in iterated:
            continue
        for pattern in _patterns(run):
            for units in _occurrences(run, pattern, taken):
                out += _stages(path, units)
        lone.append(run)
    below = {p[len(inside) :].split(".")[0] for p in found if p != path and p.startswith(inside)}
    barren = set()
    for name in sorted(below - taken):
        count = len(out)
        _descend(inside + name, found, iterated, out)
        if len(out) == count:
            barren.add(name)
    for run in lone:
        for units in _weak(run, taken, barren | {child.name for child in run if child.path not in found}):
            out += _stages(path, units)


def _patterns(run: Sequence[Child]) -> Iterator[tuple[Hashable, ...]]:
    """Kinds of neighbouring children that occur twice in a row with the same operations on the same shapes."""
    seen = set()
    kinds = [child.kind for child in run]
    for length in range(1, LONGEST_UNIT + 1):
        counts: dict[tuple[Hashable, ...], int] = {}
        for start in range(len(run) - 2 * length + 1):
            first, second = run[start : start + length], run[start + length : start + 2 * length]
            pattern = tuple(kinds[start : start + length])
            if pattern in counts or not _begins_block(first) or not any(child.weights for child in first):
                continue
            if signature(first) == signature(second) and _shape_in(first) == _shape_out(first):
                counts[pattern] = len(list(_matches(kinds, pattern)))
        for pattern in sorted(counts, key=lambda each: -counts[each]):
            if not any(_rotated(pattern, other) for other in seen):
                seen.add(pattern)
                yield pattern


def _rotated(pattern: tuple[Hashable, ...], other: tuple[Hashable, ...]) -> bool:
    """Whether `pattern` is `other`, begun elsewhere or several times."""
    return len(pattern) % len(other) == 0 and any(
        pattern == (other[start:] + other[:start]) * (len(pattern) // len(other)) for start in range(len(other))
    )


def _begins_block(children: Sequence[Child]) -> bool:
    """A block of several layers begins with one that has parameters."""
    return len(children) == 1 or next(children[0].module.parameters(), None) is not None


def _shape_in(children: Sequence[Child]) -> object:
    return next(child.source.shape for child in children if child.source is not None)


def _shape_out(children: Sequence[Child]) -> object:
    return next(child.result.shape for child in reversed(children) if child.result is not None)


def _matches(kinds: Sequence[Hashable], pattern: tuple[Hashable, ...]) -> Iterator[int]:
    place = 0
    while place <= len(kinds) - len(pattern):
        if tuple(kinds[place : place + len(pattern)]) == pattern:
            yield place
            place += len(pattern)
        else:
            place += 1


def _occurrences(run: Sequence[Child], pattern: tuple[Hashable, ...], taken: set[str]) -> Iterator[list[Unit]]:
    """Runs of neighbouring units of a pattern, among children that belong to no stage yet."""
    kinds = [None if child.name in taken else child.kind for child in run]
    units: list[Unit] = []
    end = -1
    for place in _matches(kinds, pattern):
        children = run[place : place + len(pattern)]
        if all(child.source is None for child in children):
            continue
        if place != end and units:
            yield units
            units = []
        units.append(_unit(children))
        taken.update(child.name for child in children)
        end = place + len(pattern)
    if units:
        yield units


def _weak(run: Sequence[Child], taken: set[str], barren: set[str]) -> Iterator[list[Unit]]:
    """Blocks of several layers, of one class in a row, that hold no stage themselves; or one alone in its container."""
    blocks: list[Child] = []
    for child in [*run, None]:
        is_block = child is not None and child.name not in taken and child.name in barren and child.weights > 1
        if blocks and (child is None or not is_block or child.kind != blocks[0].kind):
            if len(blocks) > 1 or len(run) == 1:
                taken.update(each.name for each in blocks)
                yield [_unit([each]) for each in blocks]
            blocks = []
        if child is not None and is_block:
            blocks.append(child)


def _unit(children: Sequence[Child]) -> Unit:
    called = [child for child in children if child.source is not None]
    nodes = tuple(node for child in called for node in child.nodes)
    source, result = called[0].source, called[-1].result
    assert source is not None and result is not None
    return Unit(tuple(child.name for child in children), nodes, source, result)


def _stages(path: str, units: Sequence[Unit]) -> list[Stage]:
    """A run of blocks, cut before each one that changes the shape; one stage where all do (they concatenate)."""
    if len(units) > 1 and not any(unit.keeps_shape for unit in units):
        return [Stage(path, tuple(units), "each of its blocks changes the shape: there is none to repeat")]
    parts: list[list[Unit]] = []
    for unit in units:
        if not parts or not unit.keeps_shape:
            parts.append([])
        parts[-1].append(unit)
    return [_stage(path, tuple(part)) for part in parts]


def _stage(path: str, units: tuple[Unit, ...]) -> Stage:
    last = units[-1]
    inside = set(last.nodes)
    tied = [s.key for n in last.nodes for s in n.inputs() if s.key and any(user not in inside for user in s.users)]
    reason = ""
    if not last.keeps_shape:
        reason = "its only block changes the shape: there is none to repeat"
    elif tied:
        reason = f"its last block shares {tied[0]} with the rest of the module"
    return Stage(path, units, reason)


def signature(children: Sequence[Child]) -> Hashable:
    """Operations, their numbers and all shapes, with what is outside replaced by a mark: equal for equal blocks."""
    nodes = [node for child in children for node in child.nodes]
    numbers = {node: number for number, node in enumerate(nodes)}
    kinds = tuple(child.kind for child in children)
    return kinds, tuple(
        (node.op, node.shape, tuple((name, _seen(value, numbers)) for name, value in node.arguments.items()))
        for node in nodes
    )


def _seen(value: object, numbers: dict[Node, int]) -> Hashable:
    if isinstance(value, Node):
        return ("node", numbers.get(value, value.kind), value.shape)
    if isinstance(value, list | tuple):
        return tuple(_seen(each, numbers) for each in value)
    return value if isinstance(value, Hashable) else repr(value)
