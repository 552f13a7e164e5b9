"""What each operation does to the widths of its inputs: a table from ATen's names to rules."""

from __future__ import annotations

from triscale.errors import ModuleError
from triscale.modules.channels import Dim, Dims, Part, fixed, freeze, fresh, is_fixed, resolve, size_of, unify
from triscale.modules.flow import Flow, Rule, Values, broadcast, fixed_dims
from triscale.modules.rules_shape import SHAPE_RULES
from triscale.modules.trace import Node

# One tensor in, one out, element by element or in place of a view: widths pass through.
UNARY = (
    "relu", "relu6", "hardtanh", "hardswish", "hardsigmoid", "silu", "gelu", "sigmoid", "tanh", "elu", "celu",
    "selu", "leaky_relu", "mish", "softplus", "softsign", "log_sigmoid", "threshold", "rrelu", "hardshrink",
    "softshrink", "dropout", "feature_dropout", "alpha_dropout", "clone", "contiguous",
    "detach", "alias", "to", "_to_copy", "type_as", "neg", "abs", "exp", "expm1", "log", "log1p", "sqrt",
    "rsqrt", "square", "reciprocal", "sign", "floor", "ceil", "round", "erf", "sin", "cos", "clamp",
    "clamp_min", "clamp_max", "nan_to_num", "softmax", "_softmax", "log_softmax", "_log_softmax", "cumsum",
    "lift_fresh_copy", "lift_fresh", "zeros_like", "ones_like", "rand_like", "randn_like", "full_like",
    "empty_like", "logical_not", "bitwise_not", "isnan", "isfinite", "bernoulli", "fill",
    "zero",
)  # fmt: skip

# Several tensors, element by element, with broadcasting.
ELEMENTWISE = (
    "add", "sub", "rsub", "mul", "div", "true_divide", "floor_divide", "remainder", "pow", "maximum", "minimum",
    "where", "addcmul", "addcdiv", "lerp", "atan2", "eq", "ne", "lt", "le", "gt", "ge", "logical_and",
    "logical_or", "bitwise_and", "bitwise_or", "masked_fill", "xlogy", "__and__", "__or__",
)  # fmt: skip

# Batch and channels pass through, what follows are pixels: operation -> how many dimensions of pixels.
POOLS = {
    **dict.fromkeys(("avg_pool1d", "max_pool1d", "adaptive_avg_pool1d", "upsample_nearest1d", "upsample_linear1d"), 1),
    **dict.fromkeys(
        ("avg_pool2d", "max_pool2d", "adaptive_avg_pool2d", "upsample_nearest2d", "upsample_bilinear2d"), 2
    ),
    **dict.fromkeys(("upsample_bicubic2d", "_upsample_nearest_exact2d", "_upsample_bilinear2d_aa"), 2),
    **dict.fromkeys(("reflection_pad2d", "replication_pad2d", "max_pool2d_with_indices", "adaptive_max_pool2d"), 2),
    **dict.fromkeys(("avg_pool3d", "max_pool3d", "adaptive_avg_pool3d", "upsample_nearest3d"), 3),
}

# Made from sizes alone: whatever they meet decides what they are.
FACTORIES = (
    "zeros", "ones", "full", "empty", "new_zeros", "new_ones", "new_full", "new_empty", "arange", "rand",
    "randn", "linspace", "scalar_tensor",
)  # fmt: skip


def refuse(node: Node, why: str) -> ModuleError:
    """The one line of an operation that cannot be scaled."""
    return ModuleError(f"{node.path}: {node.op} {why}.")


def _unary(known: Flow, node: Node) -> Values:
    return known.dims[node.inputs()[0]]


def _elementwise(known: Flow, node: Node) -> Values:
    # A number that was read off a tensor (`.item()`) has no dimensions and meets any.
    return broadcast(*(known.dims[source] for source in node.inputs() if known.dims[source] is not None))


def _prelu(known: Flow, node: Node) -> Values:
    dims, slopes = known.of(node, "self"), known.of(node, "weight")
    if size_of(slopes[0]) > 1:
        unify(dims[1], slopes[0])
    return dims


def _pool(known: Flow, node: Node) -> Values:
    source = node.arguments.get("self", node.arguments.get("input"))
    dims, several = known.dims[source], not all(isinstance(size, int) for size in node.shape)
    shape = node.shape[0] if several else node.shape
    kept = len(dims) - POOLS[node.op]
    for dim, size in zip(dims[kept:], shape[kept:], strict=True):
        if not is_fixed(dim) and size != size_of(dim):
            raise refuse(node, "resamples channels as if they were pixels")
    result = (*dims[:kept], *(fixed(size) for size in shape[kept:]))
    return (result, result) if several else result


def _factory(known: Flow, node: Node) -> Values:
    return tuple(fresh(size) for size in node.shape)


def _window(node: Node, dims: Dims, place: int, size: int) -> Dim:
    """A dimension that a convolution slides over: pixels; or channels, where it keeps their number (ECA)."""
    dim = dims[place]
    if is_fixed(dim):
        return fixed(size)
    if size != size_of(dim):
        raise refuse(node, "slides over channels and changes their number")
    return dim


def _convolution(known: Flow, node: Node) -> Values:
    source, weight, bias = known.of(node, "input"), known.of(node, "weight"), known.maybe(node, "bias")
    if len(source) != len(weight):
        raise refuse(node, "reads an input without a batch dimension; give it one")
    groups = int(node.arguments.get("groups", 1))
    transposed = bool(node.arguments.get("transposed", node.op.startswith("conv_transpose")))
    for kernel in weight[2:]:
        freeze(kernel)
    channels = source[1]
    if groups == 1:
        read, made = (weight[0], weight[1]) if transposed else (weight[1], weight[0])
        unify(channels, read)
    else:
        made = _grouped(known, node, channels, weight, groups, transposed)
    if bias is not None:
        unify(bias[0], made)
    pixels = (_window(node, source, place, size) for place, size in enumerate(node.shape) if place >= 2)
    return (source[0], made, *pixels)


def _grouped(known: Flow, node: Node, channels: Dim, weight: Dims, groups: int, transposed: bool) -> Dim:
    """A grouped convolution: the number of groups may change, how wide each is may not. Returns its output channels."""
    number = fresh(groups)
    unify(channels, _of_groups(number, size_of(channels) // groups))
    known.numbers[node] = number
    freeze(weight[1])
    if transposed:
        unify(weight[0], channels)
        return _of_groups(number, size_of(weight[1]))
    unify(weight[0], _of_groups(number, size_of(weight[0]) // groups))
    return weight[0]


def _of_groups(number: Dim, width: int) -> Dim:
    return tuple(Part(part.group, part.times * width) for part in resolve(number))


def _linear(known: Flow, node: Node) -> Values:
    source, weight, bias = known.of(node, "input"), known.of(node, "weight"), known.maybe(node, "bias")
    unify(source[-1], weight[-1])
    if bias is not None:
        unify(bias[0], weight[0])
    return (*source[:-1], *weight[:-1])


def _embedding(known: Flow, node: Node) -> Values:
    """Rows of a table, by number: how many rows there are stays."""
    table = known.of(node, "weight")
    freeze(table[0])
    return (*known.of(node, "indices"), table[1])


def _matmul(known: Flow, node: Node) -> Values:
    first, second = (known.dims[source] for source in node.inputs())
    if len(first) < 2 or len(second) < 2:
        raise refuse(node, "of a vector has no rule; write it as a linear layer")
    unify(first[-1], second[-2])
    return (
        (*broadcast(first[:-2], second[:-2]), first[-2], second[-1])
        if max(len(first), len(second)) > 2
        else (
            first[0],
            second[1],
        )
    )


def _addmm(known: Flow, node: Node) -> Values:
    first, second = known.of(node, "mat1"), known.of(node, "mat2")
    unify(first[-1], second[-2])
    return broadcast((*first[:-1], second[-1]), known.of(node, "self"))


def _channel_norm(known: Flow, node: Node) -> Values:
    """BatchNorm, InstanceNorm and GroupNorm: one number for each channel in dimension 1."""
    dims = known.of(node, "input")
    for name in ("weight", "bias", "running_mean", "running_var"):
        numbers = known.maybe(node, name)
        if numbers is not None:
            unify(dims[1], numbers[0])
    return dims


def _layer_norm(known: Flow, node: Node) -> Values:
    """LayerNorm and RMSNorm: numbers for the last dimensions."""
    dims = known.of(node, "input")
    for name in ("weight", "bias"):
        numbers = known.maybe(node, name)
        if numbers is not None:
            for dim, number in zip(dims[-len(numbers) :], numbers, strict=True):
                unify(dim, number)
    return dims


def _reduction(known: Flow, node: Node) -> Values:
    """A mean, sum, norm or the like over some dimensions, or over all."""
    dims = known.dims[node.inputs()[0]]
    over = node.arguments.get("dim")
    kept_as_one = bool(node.arguments.get("keepdim", False))
    places = range(len(dims)) if over is None or over == [] else [over] if isinstance(over, int) else over
    reduced = {place % len(dims) for place in places}
    result = tuple(
        fixed(1) if place in reduced else dim for place, dim in enumerate(dims) if kept_as_one or place not in reduced
    )
    several = node.shape is not None and not all(isinstance(size, int) for size in node.shape)
    return tuple(result for _ in node.shape) if several else result


def _getitem(known: Flow, node: Node) -> Values:
    source, number = node.arguments.values()
    return known.dims[source][number]


def _grid_sample(known: Flow, node: Node) -> Values:
    dims = known.of(node, "input")
    return (*dims[:2], *fixed_dims(node.shape[2:]))


def _nothing(known: Flow, node: Node) -> Values:
    return None


RULES: dict[str, Rule] = {
    **dict.fromkeys(UNARY, _unary),
    **dict.fromkeys(ELEMENTWISE, _elementwise),
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(FACTORIES, _factory),
    **dict.fromkeys(("conv1d", "conv2d", "conv3d", "convolution"), _convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d", "conv_transpose3d"), _convolution),
    **dict.fromkeys(("batch_norm", "instance_norm", "group_norm"), _channel_norm),
    **dict.fromkeys(("layer_norm", "rms_norm"), _layer_norm),
    **dict.fromkeys(("mean", "sum", "amax", "amin", "std", "var", "var_mean", "std_mean", "norm", "linalg_vector_norm"),
                    _reduction),
    **dict.fromkeys(("max", "min", "logsumexp", "prod", "median", "all", "any"), _reduction),
    **dict.fromkeys(("_assert_tensor_metadata", "_assert_async", "sym_size", "_assert_scalar"), _nothing),
    "matmul": _matmul,
    "mm": _matmul,
    "bmm": _matmul,
    "addmm": _addmm,
    "embedding": _embedding,
    "linear": _linear,
    "prelu": _prelu,
    "grid_sampler": _grid_sample,
    "grid_sampler_2d": _grid_sample,
    "getitem": _getitem,
    **SHAPE_RULES,
}  # fmt: skip
