"""From a trained model to its shipping form: BatchNorm folded away, nothing copied that need not be."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx, nn

from triscale.deployment.fused import Fused, FusedActivation, FusedConv, FusedMaxPool, Gate, GlobalPool, Pads, Take
from triscale.errors import SpecError
from triscale.models.assembler import ConvNet
from triscale.models.fold import folded
from triscale.models.layers import Convolution, DropConnect, MaxPool, Swish
from triscale.spec.network import Size, as_size

ACTIVATIONS: dict[type[nn.Module], str] = {
    nn.SiLU: "silu",
    Swish: "swish",
    nn.ReLU: "relu",
    nn.ReLU6: "relu6",
    nn.Hardswish: "hardswish",
    nn.Sigmoid: "sigmoid",
    nn.Hardsigmoid: "hardsigmoid",
}
EVERY_SECOND = [(slice(None), slice(start, None, 2)) for start in (0, 1)]  # channels, as ShuffleNetV2 divides them
ONLY_IN_TRAINING = (nn.Identity, nn.Dropout, DropConnect)


def fuse(model: ConvNet, size: int | Size | None = None) -> Fused:
    """A copy of `model` for inference: the same function with one operation for each convolution.

    BatchNorm is folded into the convolutions (in float64), activations and gates overwrite their input, SAME padding is
    worked out for one size, and every tensor is freed after its last use. The model itself is left as it is.

    size: (H, W) in pixels of the images; by default what the model's preprocessing makes.
    Returns: Fused, within 1e-5 (relative) of the model in eval mode.
    Raises: SpecError for a model with an operation that has no fused form.
    """
    size = as_size(model.preprocessing.size if size is None else size)
    return Fused(_Fuser(model, _traced(model), size).body(), size)


def fuse_part(part: nn.Module, size: Size) -> Fused:
    """`fuse` for a part of a network in eval mode: any composition of triscale's own layers.

    size: (H, W) in pixels of what it reads.
    Raises: SpecError for an operation that has no fused form.
    """
    return Fused(_Fuser(part, _graph(part), size).body(), size)


def fuse_features(model: ConvNet, strides: Sequence[int], size: Size) -> Fused:
    """`fuse` for the maps of a network at these strides, in their order, for images of `size` (H, W) in pixels.

    Returns: Fused, which gives one map for each stride.
    Raises: SpecError for an operation that has no fused form.
    """
    part = _Features(model, strides)
    return Fused(_Fuser(part, _traced(model, part), size).body(), size)


class _Features(nn.Module):
    """The maps of a network that somebody wants."""

    def __init__(self, model: ConvNet, strides: Sequence[int]) -> None:
        super().__init__()
        self.model, self.strides = model, tuple(strides)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        maps = self.model.features(images)
        return tuple(maps[stride] for stride in self.strides)


def _traced(model: ConvNet, part: nn.Module | None = None) -> fx.Graph:
    """The operations of a model, or of what stands around it, in eval mode; the model is given back as it was."""
    was_training, was_fixed = model.training, model._fixed
    model.eval()
    model.fixed(None)  # a fixed model looks at the size of its input, which tracing does not have
    try:
        return _graph(model if part is None else part)
    finally:
        model.fixed(was_fixed)
        model.train(was_training)


def _graph(module: nn.Module) -> fx.Graph:
    with torch.no_grad():  # squeeze-excite multiplies in place only where no gradient is kept
        graph = _Tracer().trace(module)
    # What leads to maps that nobody wants goes; what works in place is read by what comes next.
    graph.eliminate_dead_code(lambda node: node.op in ("placeholder", "output"))
    return graph


class _Tracer(fx.Tracer):
    """Takes every module without children as one operation."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        return next(m.children(), None) is None


class _Fuser:
    """Reads a traced graph in order and writes the fused one, knowing the size of every map."""

    def __init__(self, model: nn.Module, graph: fx.Graph, size: Size) -> None:
        self.model, self.source, self.size = model, graph, size
        self.graph, self.modules = fx.Graph(), nn.Module()
        self.made: dict[fx.Node, fx.Node] = {}
        self.sizes: dict[fx.Node, Size] = {}

    def body(self) -> fx.GraphModule:
        for node in self.source.nodes:
            if node not in self.made:
                self.convert(node)
        self.graph.lint()
        return fx.GraphModule(self.modules, self.graph, "FusedBody")

    def convert(self, node: fx.Node) -> None:
        """Write one node, and remember what it became and the size of its map."""
        if node.op == "placeholder":
            self.put(node, self.graph.placeholder("images"), self.size)
            return
        if node.op == "output":
            self.graph.output(fx.map_arg(node.args[0], lambda each: self.made[each]))
        elif node.op == "call_module":
            self.convert_module(node, self.model.get_submodule(str(node.target)))
        else:
            self.convert_call(node)

    def convert_module(self, node: fx.Node, module: nn.Module) -> None:
        (source,) = node.all_input_nodes
        read = self.sizes[source]
        if isinstance(module, Convolution):
            self.convolution(node, module)
        elif isinstance(module, ONLY_IN_TRAINING):
            self.put(node, self.made[source], read)
        elif type(module) in ACTIVATIONS:
            self.call(node, fused_activation(module), read)
        elif isinstance(module, nn.Linear):
            self.call(node, _copied(module), read)
        elif isinstance(module, MaxPool):
            self.call(node, FusedMaxPool(module.same, read), (-(-read[0] // 2), -(-read[1] // 2)))
        else:
            raise SpecError(f"fuse: {node.target} is a {type(module).__name__}, which has no fused form.")

    def convert_call(self, node: fx.Node) -> None:
        first = node.all_input_nodes[0]
        read = self.sizes[first]
        match node.target:
            case "mul_":
                self.call(node, Gate(), read)
            case "add_" | "add" | operator.add:
                self.function(node, operator.add, tuple(self.made[each] for each in node.all_input_nodes), read)
            case torch.cat:
                self.function(node, torch.cat, ([self.made[each] for each in node.all_input_nodes], 1), read)
            case torch.flatten | "flatten":
                self.function(node, torch.flatten, (self.made[first], 1), read)
            case "mean" if node.args[1] == (2, 3):
                self.call(node, GlobalPool(), (1, 1))
                if not node.kwargs.get("keepdim", False):
                    self.function(node, torch.flatten, (self.made[node], 1), (1, 1))
            case operator.getitem if node.args[1] in EVERY_SECOND:
                self.call(node, Take(int(node.args[1] == EVERY_SECOND[1])), read)
            case _:
                raise SpecError(f"fuse: the operation {node.format_node()} has no fused form.")

    def convolution(self, node: fx.Node, conv: Convolution) -> None:
        """A convolution, with the BatchNorm and the activation that follow it and nothing else reads."""
        last, read = node, self.sizes[node.all_input_nodes[0]]
        norm = self.only_reader(last, lambda m: isinstance(m, nn.BatchNorm2d))
        last = norm[0] if norm else last
        act = self.only_reader(last, lambda m: type(m) in ACTIVATIONS)
        fused = fused_convolution(conv, norm[1] if norm else None, act[1] if act else None, read)
        written = fused.written(read)
        self.call(node, fused, written)
        for each in (norm, act):
            if each:
                self.put(each[0], self.made[node], written)

    def only_reader(self, node: fx.Node, accept: Callable[[nn.Module], bool]) -> tuple[fx.Node, nn.Module] | None:
        """The module that alone reads `node`, if there is one and it is acceptable."""
        if len(node.users) != 1:
            return None
        (user,) = node.users
        module = self.model.get_submodule(str(user.target)) if user.op == "call_module" else None
        return (user, module) if module is not None and accept(module) else None

    def call(self, node: fx.Node, module: nn.Module, size: Size) -> None:
        self.modules.add_module(node.name, module)
        inputs = tuple(self.made[each] for each in node.all_input_nodes)
        self.put(node, self.graph.create_node("call_module", node.name, inputs, name=node.name), size)

    def function(self, node: fx.Node, target: Callable[..., Any], inputs: tuple[Any, ...], size: Size) -> None:
        self.put(node, self.graph.create_node("call_function", target, inputs), size)

    def put(self, node: fx.Node, made: fx.Node, size: Size) -> None:
        self.made[node], self.sizes[node] = made, size


def fused_convolution(conv: Convolution, norm: nn.Module | None, act: nn.Module | None, size: Size) -> FusedConv:
    """A convolution of maps of `size` (H, W) with what follows it, in eval mode, as one operation.

    norm: its BatchNorm; anything else is nothing. act: one of `ACTIVATIONS`, or None.
    """
    weight, bias = folded(conv, norm)
    activation = FusedActivation("identity") if act is None else fused_activation(act)
    return FusedConv(weight, bias, (conv.stride[0], conv.stride[1]), _pads(conv, size), conv.groups, activation)


def _pads(conv: Convolution, size: Size) -> Pads:
    if conv.same:
        left, right, top, bottom = conv.pads_for(*size)
        return top, left, bottom, right
    vertical, horizontal = (kernel // 2 for kernel in conv.kernel_size)
    return vertical, horizontal, vertical, horizontal


def fused_activation(module: nn.Module) -> FusedActivation:
    """One of `ACTIVATIONS` as it is fused."""
    slope = module.beta.item() if isinstance(module, Swish) else None
    return FusedActivation(ACTIVATIONS[type(module)], slope)


def _copied(linear: nn.Linear) -> nn.Linear:
    made = nn.Linear(linear.in_features, linear.out_features, linear.bias is not None, device="meta")
    made.weight = nn.Parameter(linear.weight.detach().clone(), requires_grad=False)
    if linear.bias is not None:
        made.bias = nn.Parameter(linear.bias.detach().clone(), requires_grad=False)
    return made
