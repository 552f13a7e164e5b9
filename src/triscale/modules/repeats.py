"""Which blocks of a traced module repeat: the stages that depth acts on.

A stage is a run of neighbouring blocks of one kind in one container whose code goes through its children in order. Its
first block may change the shape; each of the others maps a shape to the same shape, so it may be repeated or dropped.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

from triscale.modules.chains import Child
from triscale.modules.trace import Graph, Node

BY_NUMBER = "the code calls its blocks by number or by name, not all that there are"
LONGEST_UNIT = 8  # children of a flat nn.Sequential that may form one block together


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


def find_stages(
    found: dict[str, list[list[Child]]], iterated: set[tuple[str, int]], graph: Graph, lists: set[str]
) -> list[Stage]:
    """The stages among chains of children, in the order in which they run.

    Where blocks repeat inside blocks that repeat, the outer ones count.
    iterated: (path, number of the chain) of those whose code goes through them in order, whatever they are.
    lists: paths of the containers that are mere lists of modules.
    """
    stages: list[Stage] = []
    _descend("", found, iterated, stages)
    stages += _by_number(found, iterated, lists, stages)
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


def _by_number(
    found: dict[str, list[list[Child]]], iterated: set[tuple[str, int]], lists: set[str], stages: Sequence[Stage]
) -> Iterator[Stage]:
    """Blocks that repeat in a list of modules that no code goes through; none of them inside a stage, or around one."""
    names = {f"{stage.path}.{name}" for stage in stages for unit in stage.units for name in unit.names}
    for path in sorted(lists.intersection(found)):  # the outer before the inner
        if any(f"{path}.".startswith(f"{name}.") or name.startswith(f"{path}.") for name in names):
            continue
        for number, run in enumerate(found[path]):
            taken: set[str] = set()
            for pattern in _patterns(run) if (path, number) not in iterated else ():
                for units in _occurrences(run, pattern, taken):
                    names.update(f"{path}.{name}" for unit in units for name in unit.names)
                    yield Stage(path, tuple(units), BY_NUMBER)


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
