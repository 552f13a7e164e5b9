"""A copy of a module edited to a plan: new tensors, new numbers on layers, blocks put in or taken out."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from triscale.errors import ModuleError
from triscale.modules.channels import measure, resolve
from triscale.modules.plan import Analysis, Plan
from triscale.modules.surgery import put_after, take_out
from triscale.modules.trace import Node, Shape

# Layers whose own reset_parameters touches themselves alone.
LAYERS = (_ConvNd, _NormBase, nn.Linear, nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.Embedding, nn.PReLU, nn.Bilinear)


def resized(copied: nn.Module, analysis: Analysis, plan: Plan) -> tuple[nn.Module, tuple[str, ...]]:
    """`copied` at the widths and lengths of a plan.

    copied: a deep copy that is edited and returned.
    Returns: the module, and the names of its freshly initialised tensors.
    Raises: ModuleError naming a buffer whose values depend on its width.
    """
    fresh: set[int] = set()
    _resize_tensors(copied, analysis, plan, fresh)
    _renumber_layers(copied, analysis, plan)
    _change_lengths(copied, analysis, plan, fresh)
    named = [*copied.named_parameters(), *copied.named_buffers()]
    return copied, tuple(name for name, tensor in named if id(tensor) in fresh)


def _resize_tensors(module: nn.Module, analysis: Analysis, plan: Plan, fresh: set[int]) -> None:
    graph = analysis.graph
    nodes = {node.key: node for node in graph.nodes if node.kind in ("parameter", "buffer")}
    made: dict[int, Tensor] = {}
    kept = []  # tensors that were replaced: while they exist, no new one can have their id
    for path, owner in module.named_modules():
        changed = {}
        for name, tensor in _own_tensors(owner):
            key = f"{path}.{name}" if path else name
            node = nodes.get(graph.aliases.get(key, key))
            shape = tuple(tensor.shape) if node is None else analysis.shape(node, plan)
            if shape != tuple(tensor.shape):
                if id(tensor) not in made:
                    made[id(tensor)] = _empty(tensor, shape)
                    kept.append(tensor)
                changed[name] = (key, tensor, made[id(tensor)])
        if changed:
            for name, (_, _, new) in changed.items():
                (owner._parameters if isinstance(new, nn.Parameter) else owner._buffers)[name] = new
            _fill(owner, {name: (key, old) for name, (key, old, _) in changed.items()})
            fresh.update(id(tensor) for _, tensor in _own_tensors(owner) if _is_fresh(owner, tensor, changed))


def _own_tensors(module: nn.Module) -> list[tuple[str, Tensor]]:
    return [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]


def _is_fresh(owner: nn.Module, tensor: Tensor, changed: dict[str, tuple[str, Tensor, Tensor]]) -> bool:
    """A layer that initialises itself anew does so with all its tensors."""
    return isinstance(owner, LAYERS) or any(tensor is new for _, _, new in changed.values())


def _empty(tensor: Tensor, shape: Shape) -> Tensor:
    """A tensor like another, of another shape; kind, type, device, layout, need of gradients, attributes are kept."""
    new = torch.zeros(shape, dtype=tensor.dtype, device=tensor.device)
    layout = {4: torch.channels_last, 5: torch.channels_last_3d}.get(new.dim())
    if layout is not None and not tensor.is_contiguous() and tensor.is_contiguous(memory_format=layout):
        new = new.contiguous(memory_format=layout)
    if not isinstance(tensor, nn.Parameter):
        return new
    parameter = nn.Parameter(new, requires_grad=tensor.requires_grad)
    parameter.__dict__.update(tensor.__dict__)
    return parameter


def _fill(owner: nn.Module, changed: dict[str, tuple[str, Tensor]]) -> None:
    """Initialise new tensors as their layer does, spread as they were; what was one number is that number again.

    changed: of the owner's tensors, the name in the module and the tensor that it had.
    """
    before = {name: _constant(changed[name][1] if name in changed else t) for name, t in _own_tensors(owner)}
    layer = isinstance(owner, LAYERS)
    if layer:
        owner.reset_parameters()
    with torch.no_grad():
        for name, tensor in _own_tensors(owner):
            constant = before[name]
            if isinstance(tensor, nn.Parameter) and constant is not None:
                if layer or name in changed:
                    tensor.fill_(constant)
            elif name not in changed:
                continue
            elif not isinstance(tensor, nn.Parameter):
                if not isinstance(owner, _NormBase):
                    _extend(tensor, *changed[name])
            elif layer:
                _spread_as_before(tensor, changed[name][1])
            elif not tensor.is_meta:
                old = changed[name][1].float()
                tensor.normal_(old.mean().item(), old.std().item())


def _spread_as_before(tensor: Tensor, old: Tensor) -> None:
    """Give fresh weights the standard deviation of the old ones at the new fan-in, whoever chose it and however.

    So signals keep their size through a network without normalisation, as its own initialisation meant them to.
    """
    if tensor.dim() < 2 or tensor.is_meta:
        return
    aim = old.float().std() * math.sqrt((old.numel() / old.shape[0]) / (tensor.numel() / tensor.shape[0]))
    factor = aim / tensor.float().std()
    if torch.isfinite(factor) and factor > 0:
        tensor.mul_(factor)


def _constant(tensor: Tensor) -> float | None:
    """The one value of a floating-point tensor that has no other, as zeros of a bias or ones of a norm."""
    if tensor.numel() == 0 or not tensor.is_floating_point() or tensor.is_meta:
        return None
    first = tensor.detach().flatten()[0]
    return float(first) if bool((tensor.detach() == first).all()) else None


def _extend(tensor: Tensor, key: str, old: Tensor) -> None:
    """A buffer at another width: the same for every channel, or nobody knows what it should be."""
    source = old
    for place, (before, after) in enumerate(zip(old.shape, tensor.shape, strict=True)):
        if before != after:
            first = source.narrow(place, 0, 1)
            if not torch.equal(first.expand_as(source), source):
                raise ModuleError(
                    f"{key}: is a buffer whose values differ from channel to channel, so that nothing tells what they "
                    f"would be at another width; compute it from the width, or make it a parameter."
                )
            source = first
    tensor.copy_(source.expand_as(tensor))


def _renumber_layers(module: nn.Module, analysis: Analysis, plan: Plan) -> None:
    """Let each layer say its new numbers."""
    for node in analysis.graph.calls:
        weight = node.arguments.get("weight")
        paths = {node.calls[-1][1] if node.calls else ""}
        if isinstance(weight, Node) and weight.key:
            paths.add(weight.key.rpartition(".")[0])  # code that reads a layer's weight without calling the layer
        for path in paths:
            _renumber(module.get_submodule(path), node, analysis, plan)


def _renumber(layer: nn.Module, node: Node, analysis: Analysis, plan: Plan) -> None:
    match layer, node.op:
        case _ConvNd(), "conv1d" | "conv2d" | "conv3d" | "conv_transpose1d" | "conv_transpose2d" | "conv_transpose3d":
            layer.in_channels = analysis.shape(node.arguments["input"], plan)[1]
            layer.out_channels = analysis.shape(node, plan)[1]
            number = analysis.known.numbers.get(node)
            if number is not None:
                layer.groups = measure(resolve(number), plan.widths)
        case nn.Linear(), "linear":
            layer.in_features = analysis.shape(node.arguments["input"], plan)[-1]
            layer.out_features = analysis.shape(node, plan)[-1]
        case _NormBase(), "batch_norm" | "instance_norm":
            layer.num_features = analysis.shape(node, plan)[1]
        case ((nn.LayerNorm() | nn.RMSNorm()), "layer_norm" | "rms_norm"):
            layer.normalized_shape = analysis.shape(node, plan)[-len(layer.normalized_shape) :]
        case nn.GroupNorm(), "group_norm":
            channels = analysis.shape(node, plan)[1]
            if channels != layer.num_channels:
                each_alone = layer.num_groups == layer.num_channels
                layer.num_groups = channels if each_alone else _nearest_divisor(channels, layer.num_groups)
                layer.num_channels = channels
        case nn.PReLU(), "prelu":
            layer.num_parameters = int(layer.weight.numel())
        case nn.Embedding(), "embedding":
            layer.embedding_dim = analysis.shape(node, plan)[-1]


def _nearest_divisor(number: int, wanted: int) -> int:
    """The divisor of `number` nearest to `wanted`; the smaller one of two."""
    return min((d for d in range(1, number + 1) if number % d == 0), key=lambda d: (abs(d - wanted), d))


def _change_lengths(module: nn.Module, analysis: Analysis, plan: Plan, fresh: set[int]) -> None:
    # From the last stage of a container to its first: what is put in moves the numbers of what follows.
    for stage, length in reversed(list(zip(analysis.stages, plan.lengths, strict=True))):
        container = module.get_submodule(stage.path)
        if length < len(stage.units):
            take_out(container, [name for unit in stage.units[length:] for name in unit.names])
        elif length > len(stage.units):
            names = stage.units[-1].names
            block = [container.get_submodule(name) for name in names]
            added = [each for _ in range(length - len(stage.units)) for each in _copies(block, fresh)]
            put_after(container, names[-1], added)


def _copies(block: Sequence[nn.Module], fresh: set[int]) -> Iterator[nn.Module]:
    """A block once more, initialised anew."""
    for layer in copy.deepcopy(nn.ModuleList(block)):
        for module in layer.modules():
            own = _own_tensors(module)
            if own:
                _fill(module, {name: (name, tensor.detach().clone()) for name, tensor in own})
                for _, tensor in own:
                    tensor.grad = None
                    fresh.add(id(tensor))
        yield layer
