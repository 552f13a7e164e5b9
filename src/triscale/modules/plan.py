"""What a module would be at another depth and width, and what that would cost: arithmetic on its traced graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from math import gcd, prod

from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd

from triscale.errors import ModuleError
from triscale.modules.chains import GENERIC, chains
from triscale.modules.channels import Dims, Group, MisalignedError, is_fixed, measure, resolve, unify
from triscale.modules.count import BYTES, ModuleCost, is_work, work
from triscale.modules.flow import Flow, flow, tensors
from triscale.modules.live import Life
from triscale.modules.repeats import Stage, Unit, find_stages
from triscale.modules.rules import RULES
from triscale.modules.trace import Graph, Node, Shape, trace_copy
from triscale.modules.witness import iterated
from triscale.spec.rounding import round_repeats

STEP = 8  # channels in which widths change, where the width at hand is a multiple of so many
STEPS = (8, 4, 2)  # the falling steps of a budget that needs them


@dataclass(frozen=True, slots=True, eq=False)
class Width:
    """One width that may change. where: the parameter that makes these channels.

    times: channels for each unit of the group: 1, or the width of the groups of a grouped convolution.
    """

    group: Group
    times: int
    where: str

    @property
    def channels(self) -> int:
        """Before scaling."""
        return self.group.size * self.times

    def scaled(self, factor: float, step: int = STEP) -> int:
        """Units of the group at another width: round(factor x channels) to the step, at least one step.

        The step is 8 where the channels divide by it, else their largest power of two; of a grouped convolution, the
        width of its groups.
        """
        if factor == 1.0:
            return self.group.size
        step = gcd(self.group.size, step) if self.times == 1 else 1
        return max(1, int(factor * self.group.size / step + 0.5)) * step


@dataclass(frozen=True, slots=True)
class Plan:
    """A depth and a width carried out. step: of widths. lengths: of each stage, in the order of the analysis."""

    depth: float
    width: float
    step: int
    widths: Mapping[Group, int]
    lengths: tuple[int, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Analysis:
    """All that is known of a module: its graph, the dimensions of every value, its stages and its widths.

    known: rules carried out. dims: of each value, in groups that stand for themselves. unread: elements of parameters
    that the graph never reads. held: parameters that keep their channels because of a tensor that is neither parameter
    nor buffer.
    """

    graph: Graph
    known: Flow
    stages: tuple[Stage, ...]
    widths: tuple[Width, ...]
    dims: Mapping[Node, tuple[Dims, ...]]
    life: Life
    unread: int
    held: tuple[str, ...] = ()

    def plan(self, depth: float = 1.0, width: float = 1.0, step: int = STEP) -> Plan:
        """The widths and lengths at a depth and a width."""
        widths = {each.group: each.scaled(width, step) for each in self.widths}
        lengths = tuple(
            len(stage.units) if stage.fixed_because else round_repeats(len(stage.units), depth) for stage in self.stages
        )
        return Plan(depth, width, step, widths, lengths)

    def shape(self, node: Node, plan: Plan) -> Shape:
        """The shape of a tensor in a plan."""
        return tuple([measure(dim, plan.widths) for dim in self.dims[node][0]])

    def shapes(self, node: Node, plan: Plan) -> tuple[Shape, ...]:
        """The shapes of all results of an operation in a plan."""
        return tuple(tuple(measure(dim, plan.widths) for dim in dims) for dims in self.dims[node])

    def times(self, plan: Plan) -> dict[Node, int]:
        """How often the nodes of blocks that are dropped (0) or repeated (2 or more) run; all others run once."""
        found: dict[Node, int] = {}
        for stage, length in zip(self.stages, plan.lengths, strict=True):
            for unit in stage.units[length:]:
                found.update(dict.fromkeys(unit.nodes, 0))
            if length > len(stage.units):
                found.update(dict.fromkeys(stage.units[-1].nodes, 1 + length - len(stage.units)))
        return found

    def cost(self, plan: Plan, memory: bool = True) -> ModuleCost:
        """What the module of a plan costs; without `memory`, which is the slowest to know, that number is 0."""
        times = self.times(plan)
        known: dict[Node, Shape] = {}

        def shape(node: Node) -> Shape:
            if node not in known:
                known[node] = self.shape(node, plan)
            return known[node]

        macs = activations = params = 0
        for node in self.graph.nodes:
            if node.kind == "parameter":
                params += prod(shape(node)) * self._copies(node, times)
            elif node.kind == "call" and is_work(node):
                count = times.get(node, 1)
                if count:
                    own_macs, own_activations = work((node,), shape)
                    macs, activations = macs + count * own_macs, activations + count * own_activations
        params += self.unread
        alive = self.life.peak(lambda node: sum(map(prod, self.shapes(node, plan))), times) if memory else 0
        return ModuleCost(params, macs, activations, BYTES * (params + alive) if memory else 0)

    def _copies(self, node: Node, times: Mapping[Node, int]) -> int:
        """How many of a parameter there are: those of a repeated block are copied with it, shared ones are not."""
        counts = {times.get(user, 1) for user in node.users}
        return max(counts) if len(counts) == 1 else 1

    def calls(self, plan: Plan) -> Iterator[Node]:
        """The operations of a plan in order, those of repeated blocks as often as they run."""
        times = self.times(plan)
        last = {stage.units[-1].nodes[-1]: stage.units[-1] for stage in self.stages}
        for node in self.graph.calls:
            if times.get(node, 1):
                yield node
                unit: Unit | None = last.get(node)
                for _ in range(times.get(node, 1) - 1 if unit else 0):
                    yield from unit.nodes if unit else ()


def analyse(copied: nn.Module, example_input: Tensor, tie_depth: bool) -> Analysis:
    """Trace a copy in eval mode and find its widths and stages.

    copied: may be run and switched to eval mode. tie_depth: make sure that every block which may be repeated or dropped
    reads what it writes.
    Raises: ModuleError in one line, naming operation and module path.
    """
    graph = trace_copy(copied, example_input)
    found = chains(copied, graph)
    lists = {path for path, each in copied.named_modules() if isinstance(each, GENERIC)}
    stages = find_stages(found, iterated(copied, example_input[:1], found), graph, lists)
    known = flow(graph, RULES, frozenset(_kernels(copied)))
    if tie_depth:
        stages = [_tied(known, stage) for stage in stages]
    dims = {n: tuple(tuple(map(resolve, d)) for d in tensors(v)) for n, v in known.dims.items() if v is not None}
    read = {graph.aliases.get(node.key, node.key) for node in graph.nodes if node.kind == "parameter"}
    unread = sum(p.numel() for name, p in copied.named_parameters() if graph.aliases.get(name, name) not in read)
    widths = tuple(_widths(graph, dims))
    held = tuple(_held(graph, frozenset(_kernels(copied)), dims))
    return Analysis(graph, known, tuple(stages), widths, dims, Life(graph), unread, held)


def _held(graph: Graph, kernels: frozenset[str], dims: Mapping[Node, tuple[Dims, ...]]) -> Iterator[str]:
    """Parameters whose width only a tensor that is neither parameter nor buffer keeps from changing."""
    if all(node.kind != "constant" or prod(node.shape) == 1 for node in graph.nodes):
        return
    try:
        known = flow(graph, RULES, kernels, free_constants=True)
    except ModuleError:
        return  # told apart from what is fixed, some of these tensors are used in a way that has no rule
    for node in graph.nodes:
        if node.kind == "parameter" and is_fixed(dims[node][0][0]) and not is_fixed(known.dims[node][0]):
            yield node.key


def _kernels(module: nn.Module) -> Iterator[str]:
    for path, layer in module.named_modules():
        if isinstance(layer, _ConvNd):
            yield f"{path}.weight" if path else "weight"


def _tied(known: Flow, stage: Stage) -> Stage:
    """A stage whose repeatable blocks have the same channels before and behind them."""
    if stage.fixed_because:
        return stage
    try:
        for unit in stage.units:
            if unit.keeps_shape:
                for one, other in zip(known.dims[unit.source], known.dims[unit.result], strict=True):
                    unify(one, other)
    except MisalignedError:
        return replace(stage, fixed_because="its last block reads channels in another arrangement than it writes")
    return stage


def _widths(graph: Graph, dims: Mapping[Node, tuple[Dims, ...]]) -> Iterator[Width]:
    """The groups of channels that parameters have, each with the fewest elements that stand for one of it."""
    found: dict[Group, Width] = {}
    for node in graph.nodes:
        if node.kind == "parameter":
            for group, times in (part for dim in dims[node][0] for part in dim):
                known = None if group is None else found.get(group)
                if group is not None and known is None:
                    found[group] = Width(group, times, node.key)
                elif group is not None and known is not None and times < known.times:
                    found[group] = replace(known, times=times)
    yield from found.values()


def expected(analysis: Analysis, plan: Plan) -> list[tuple[Node, tuple[Shape, ...]]]:
    """What a trace of the module of a plan must show: operations in order, with the shapes of their results."""
    return [(n, analysis.shapes(n, plan) if n in analysis.dims else ()) for n in analysis.calls(plan)]
