"""A module as a short list of operations with module paths: what everything else in this folder reads.

`torch.export` in eval mode serves for the analysis alone; the module that a caller gets is edited, never exported.
"""

from __future__ import annotations

import copy
import io
import logging
import operator
import warnings
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, redirect_stderr
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor, fx, nn

from triscale.errors import ModuleError

Kind = Literal["input", "parameter", "buffer", "constant", "call", "output"]
Shape = tuple[int, ...]

TRANSPARENT = ("wrap_with_set_grad_enabled", "wrap_with_autocast")  # regions of code that change no shape
LARGEST_LINE = 200  # characters of somebody else's error that are repeated


@dataclass(eq=False, slots=True)
class Node:
    """One value. Nodes compare by identity.

    op: of a call, ATen's name without overload and without the underscore of in-place forms ("conv2d", "relu").
    arguments: of a call, by the names of ATen's schema, with defaults; other nodes stand for tensors.
    shape: of a tensor; of an operation with several results, a tuple of shapes. None: no tensor.
    calls: the module calls that it is part of, outermost first; a module called twice has two. path: of the innermost.
    key: of a parameter, buffer or constant, its name in the module (one name, where several are tied).
    target: of a call, the operation itself.
    """

    kind: Kind
    op: str
    arguments: Mapping[str, Any]
    shape: Any
    calls: tuple[tuple[str, str], ...] = ()
    key: str = ""
    target: Any = None
    users: list[Node] = field(default_factory=list)

    @property
    def path(self) -> str:
        """Where in the module, for people."""
        return (self.calls[-1][1] if self.calls else "") or "the module itself"

    def inputs(self) -> list[Node]:
        """The nodes that it reads, in order, lists unfolded."""
        return list(_nodes(list(self.arguments.values())))


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """What one forward at batch 1 does. nodes: in the order of execution, inputs and parameters first.

    aliases: name of a tied parameter or buffer -> the one name that its node has. unused: parameters never read.
    """

    nodes: tuple[Node, ...]
    aliases: Mapping[str, str]
    unused: tuple[str, ...]

    @property
    def calls(self) -> list[Node]:
        """The operations alone."""
        return [node for node in self.nodes if node.kind == "call"]


def trace(module: nn.Module, example_input: Tensor) -> Graph:
    """Record what `module` does with one image of `example_input` in eval mode; a copy is run, never the module.

    example_input: (B, ...), any B; only its first image is used.
    Raises: ModuleError in one line when it cannot be copied, run or traced, naming the place.
    """
    copied = analysis_copy(module)
    return trace_copy(copied, example_input)


def trace_copy(copied: nn.Module, example_input: Tensor, failing: str = "cannot be traced") -> Graph:
    """`trace` of a module that may be run and switched to eval mode here. failing: what an error says of it."""
    copied.eval()
    image = example_input[:1]
    with warnings.catch_warnings(), _silent(), located(copied, failing):
        warnings.simplefilter("ignore")
        program = torch.export.export(copied, (image,), strict=False)
    return _read(program, copied)


def analysis_copy(module: nn.Module) -> nn.Module:
    """A deep copy to run and to trace.

    Raises: ModuleError for what is no plain nn.Module or cannot be copied.
    """
    if not isinstance(module, nn.Module):
        raise ModuleError(f"scaling needs an nn.Module, got {type(module).__name__}; give the module itself.")
    if isinstance(module, torch.jit.ScriptModule):
        raise ModuleError(f"{type(module).__name__} is TorchScript, whose code is fixed; give the Python module.")
    if any(isinstance(p, nn.UninitializedParameter) for p in module.parameters()):
        raise ModuleError(f"{type(module).__name__} has lazy layers without sizes; run it once before scaling it.")
    try:
        return copy.deepcopy(module)
    except Exception as error:  # whatever a user's __deepcopy__ or a tensor with history says
        raise ModuleError(
            f"{type(module).__name__} cannot be copied ({one_line(error)}); scaling works on a deep copy."
        ) from None


@contextmanager
def located(module: nn.Module, what: str) -> Generator[None]:
    """Errors of running `module` become one ModuleError that names the innermost module that was running.

    module: a copy; hooks are put on it and taken off.
    """
    stack: list[str] = []

    def leave(_module: nn.Module, _inputs: object, _output: object) -> None:
        stack.pop()

    handles = []
    for name, each in module.named_modules():
        handles.append(each.register_forward_pre_hook(lambda _m, _a, name=name: stack.append(name)))
        handles.append(each.register_forward_hook(leave))
    try:
        yield
    except ModuleError:
        raise
    except Exception as error:  # whatever PyTorch or the user's code says
        names = [name for name in stack if name]
        where = names[-1] if names else type(module).__name__
        raise ModuleError(f"{where}: {what}: {_reason(error)}.", names[-1] if names else "", _reason(error)) from None
    finally:
        for handle in handles:
            handle.remove()


def own_randomness(example_input: Tensor) -> AbstractContextManager[None]:
    """Inside, random numbers are drawn (dropout, initial weights that are thrown away) without moving the caller's."""
    device = example_input.device
    return torch.random.fork_rng(devices=[] if device.type == "cpu" else [device], device_type=device.type)


def one_line(error: BaseException) -> str:
    """The first line of somebody else's error, cut to a readable length, without a full stop."""
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    text = lines[0] if lines else type(error).__name__
    return (text if len(text) <= LARGEST_LINE else text[:LARGEST_LINE].rstrip() + " ...").rstrip(".")


def _reason(error: BaseException) -> str:
    text = str(error)
    if "data-dependent" in text or "DataDependent" in type(error).__name__:
        return (
            "its control flow depends on the values of tensors, so that no one path through it stands for all; only "
            "modules whose path is the same for every input can be scaled"
        )
    return one_line(error)


@contextmanager
def _silent() -> Generator[None]:
    """Without the log lines and the graph with which torch.export accompanies an error that becomes one of ours."""
    previous = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(previous)


def _read(program: torch.export.ExportedProgram, module: nn.Module) -> Graph:
    signature = program.graph_signature
    sources: dict[str, tuple[Kind, str]] = {}
    tables: list[tuple[Kind, Mapping[str, str]]] = [
        ("parameter", signature.inputs_to_parameters),
        ("buffer", signature.inputs_to_buffers),
        ("constant", signature.inputs_to_lifted_tensor_constants),
    ]
    for kind, table in tables:
        sources.update({name: (kind, key) for name, key in table.items()})
    nodes: list[Node] = []
    _read_graph(program.graph_module, [], sources, nodes)
    for node in nodes:
        for source in dict.fromkeys(node.inputs()):
            source.users.append(node)
    aliases = _aliases(module, {node.key for node in nodes if node.users})
    used = {aliases.get(node.key, node.key) for node in nodes if node.users}
    named = [name for name, _ in module.named_parameters()]
    unused = tuple(name for name in named if aliases.get(name, name) not in used)
    return Graph(tuple(node for node in nodes if node.kind == "call" or node.users or node.op), aliases, unused)


def _read_graph(
    module: fx.GraphModule, inputs: list[Any], sources: Mapping[str, tuple[Kind, str]], nodes: list[Node]
) -> Any:
    """Append the nodes of a graph; what code does under autocast or without gradients is read as if it stood there.

    inputs: of such an inner graph, what its placeholders stand for. Returns: what the graph answers.
    """
    made: dict[fx.Node, Any] = {}
    waiting, answer = list(inputs), None
    for each in module.graph.nodes:
        inner = [place for place, value in enumerate(each.args) if _is_graph(value, module)]
        source = made.get(each.args[0]) if each.target is operator.getitem and each.args else None
        if each.op == "placeholder" and waiting:
            made[each] = waiting.pop(0)
        elif each.op == "output" and inputs:
            answer = _with_nodes(each.args[0], made)
        elif getattr(each.target, "__name__", "") in TRANSPARENT and inner:
            graph = getattr(module, str(each.args[inner[0]].target))
            made[each] = _read_graph(graph, _with_nodes(each.args[inner[0] + 1 :], made), sources, nodes)
        elif isinstance(source, list):
            made[each] = source[each.args[1]]
        elif not _is_graph(each, module):
            made[each] = _node(each, made, sources)
            nodes.append(made[each])
    return answer


def _is_graph(value: Any, module: fx.GraphModule) -> bool:
    is_attribute = isinstance(value, fx.Node) and value.op == "get_attr"
    return is_attribute and isinstance(getattr(module, str(value.target), None), fx.GraphModule)


def _node(each: fx.Node, made: Mapping[fx.Node, Any], sources: Mapping[str, tuple[Kind, str]]) -> Node:
    value = each.meta.get("val")
    if each.op == "placeholder":
        kind, key = sources.get(each.name, ("input", each.name))
        return Node(kind, "", {}, _shape(value), key=key)
    arguments = {name: _with_nodes(value, made) for name, value in _arguments(each).items()}
    if each.op == "output":
        return Node("output", "output", arguments, None)
    stack = each.meta.get("nn_module_stack") or {}
    calls = tuple((key, str(value[0])) for key, value in stack.items())
    node = Node("call", _operation(each), arguments, None, calls, target=each.target)
    if any(isinstance(size, torch.SymInt) for size in _sizes(value)):
        raise ModuleError(
            f"{node.path}: {node.op} makes a tensor whose size depends on the values of another, so that no one shape "
            f"stands for all; only modules whose shapes follow from the shape of their input can be scaled."
        )
    node.shape = _shape(value)
    return node


def _with_nodes(value: Any, made: Mapping[fx.Node, Any]) -> Any:
    """An argument with our nodes in the place of torch's."""
    if isinstance(value, fx.Node):
        return made.get(value)
    if isinstance(value, list | tuple):
        return [_with_nodes(each, made) for each in value]
    return {key: _with_nodes(each, made) for key, each in value.items()} if isinstance(value, dict) else value


def _arguments(each: fx.Node) -> dict[str, Any]:
    """The arguments of a call by name, defaults included."""
    schema = getattr(each.target, "_schema", None)
    if schema is None:
        return {str(number): value for number, value in enumerate(each.args)} | dict(each.kwargs)
    named = {argument.name: argument.default_value for argument in schema.arguments if argument.has_default_value()}
    named |= {argument.name: value for argument, value in zip(schema.arguments, each.args, strict=False)}
    return named | dict(each.kwargs)


def _operation(each: fx.Node) -> str:
    if each.target is operator.getitem:
        return "getitem"
    packet = getattr(each.target, "overloadpacket", None)
    name = packet.__name__ if packet is not None else getattr(each.target, "__name__", str(each.target))
    in_place = name.endswith("_") and not name.endswith("__")
    return name.removesuffix("_") if in_place else name


def _sizes(value: Any) -> Iterator[Any]:
    """The sizes of a tensor, or of several."""
    if isinstance(value, Tensor):
        yield from value.shape
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _sizes(each)


def _shape(value: Any) -> Any:
    if isinstance(value, Tensor):
        return tuple(int(size) for size in value.shape)
    if isinstance(value, list | tuple):
        return tuple(_shape(each) for each in value)
    return None


def _nodes(value: Any) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _nodes(each)
    elif isinstance(value, dict):
        yield from _nodes(list(value.values()))


def _aliases(module: nn.Module, read: set[str]) -> dict[str, str]:
    """Every name of a tensor that has several -> the one that the graph reads (or its first)."""
    names: dict[int, list[str]] = {}
    tensors = [*module.named_parameters(remove_duplicate=False), *module.named_buffers(remove_duplicate=False)]
    for name, tensor in tensors:
        names.setdefault(id(tensor), []).append(name)
    chosen = {}
    for tied in names.values():
        main = next((name for name in tied if name in read), tied[0])
        chosen.update(dict.fromkeys(tied, main))
    return chosen
