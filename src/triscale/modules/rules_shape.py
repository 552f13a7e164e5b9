"""Operations that only move, join, cut or regroup elements, as rules for widths."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from math import prod

from triscale.errors import ModuleError
from triscale.modules.channels import (
    Dim,
    Dims,
    MisalignedError,
    Part,
    cut,
    fixed,
    fresh,
    is_fixed,
    repeat,
    resolve,
    size_of,
    unify,
)
from triscale.modules.flow import Flow, Rule, Values
from triscale.modules.trace import Node


def _refuse(node: Node, why: str) -> ModuleError:
    return ModuleError(f"{node.path}: {node.op} {why}.")


def _source(known: Flow, node: Node) -> Dims:
    return known.dims[node.inputs()[0]]


def _cat(known: Flow, node: Node) -> Values:
    tensors = [known.dims[source] for source in node.inputs()]
    tensors = [dims for dims in tensors if len(dims) > 1 or len(tensors[0]) == 1]  # PyTorch lets an empty list pass
    place = int(node.arguments.get("dim", 0)) % len(tensors[0])
    for dims in tensors[1:]:
        for number, (one, other) in enumerate(zip(tensors[0], dims, strict=True)):
            if number != place:
                unify(one, other)
    joined = resolve(part for dims in tensors for part in dims[place])
    return (*tensors[0][:place], joined, *tensors[0][place + 1 :])


def _stack(known: Flow, node: Node) -> Values:
    tensors = [known.dims[source] for source in node.inputs()]
    place = int(node.arguments.get("dim", 0)) % (len(tensors[0]) + 1)
    for dims in tensors[1:]:
        for one, other in zip(tensors[0], dims, strict=True):
            unify(one, other)
    return (*tensors[0][:place], fixed(len(tensors)), *tensors[0][place:])


def _cut(dims: Dims, place: int, sizes: Sequence[int], equal: bool) -> tuple[Dims, ...]:
    """Pieces along one dimension; `equal`: the code asks for pieces of one size, so they stay of one size."""
    pieces = cut(dims[place], sizes)
    if equal and len(set(sizes)) > 1 and not is_fixed(dims[place]):
        raise MisalignedError
    if equal:
        for piece in pieces[1:]:
            if size_of(piece) == size_of(pieces[0]):
                unify(pieces[0], piece)
    return tuple((*dims[:place], piece, *dims[place + 1 :]) for piece in pieces)


def _split(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    place = int(node.arguments.get("dim", 0)) % len(dims)
    listed = isinstance(node.arguments.get("split_size", node.arguments.get("split_sizes", 0)), list)
    return _cut(dims, place, [shape[place] for shape in node.shape], not listed)


def halves(known: Flow, node: Node) -> Values:
    """A gated linear unit: the first half of a dimension, gated by its second."""
    dims = _source(known, node)
    place = int(node.arguments.get("dim", -1)) % len(dims)
    return _cut(dims, place, [size_of(dims[place]) // 2] * 2, True)[0]


def _slice(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    place = int(node.arguments.get("dim", 0)) % len(dims)
    total, size = size_of(dims[place]), node.shape[place]
    if size == total:
        return dims
    if is_fixed(dims[place]):
        return (*dims[:place], fixed(size), *dims[place + 1 :])
    if int(node.arguments.get("step", 1)) != 1:
        raise _refuse(node, "takes every other channel, which has no meaning at another width")
    start = int(node.arguments.get("start") or 0)
    start = max(0, start + total if start < 0 else start)
    sizes = [start, size, total - start - size]
    pieces = cut(dims[place], [each for each in sizes if each])
    return (*dims[:place], pieces[1 if start else 0], *dims[place + 1 :])


def _narrow(known: Flow, node: Node) -> Values:
    start, length = int(node.arguments["start"]), int(node.arguments["length"])
    return _slice(known, replace(node, arguments={**node.arguments, "end": start + length}))


def _select(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    place = int(node.arguments.get("dim", 0)) % len(dims)
    if not is_fixed(dims[place]):
        raise _refuse(node, "takes one channel by its number, which has no meaning at another width")
    return (*dims[:place], *dims[place + 1 :])


def _unbind(known: Flow, node: Node) -> Values:
    selected = _select(known, node)
    return tuple(selected for _ in node.shape)


def _permute(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    return tuple(dims[place] for place in node.arguments["dims"])


def _movedim(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    source, target = (node.arguments[name] for name in ("source", "destination"))
    pairs = [(source, target)] if isinstance(source, int) else zip(source, target, strict=True)
    moved = {to % len(dims): place % len(dims) for place, to in pairs}
    others = iter([place for place in range(len(dims)) if place not in moved.values()])
    return tuple(dims[moved[to] if to in moved else next(others)] for to in range(len(dims)))


def _transpose(known: Flow, node: Node) -> Values:
    dims = list(_source(known, node))
    if node.op in ("t", "numpy_T", "mT"):
        return (*dims[:-2], *reversed(dims[-2:]))
    first, second = (int(node.arguments[name]) for name in ("dim0", "dim1"))
    dims[first], dims[second] = dims[second], dims[first]
    return tuple(dims)


def _squeeze(known: Flow, node: Node) -> Values:
    dims, over = _source(known, node), node.arguments.get("dim")
    places = range(len(dims)) if over is None else [over] if isinstance(over, int) else over
    gone = {place % len(dims) for place in places}
    return tuple(dim for place, dim in enumerate(dims) if place not in gone or size_of(dim) != 1)


def _unsqueeze(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    place = int(node.arguments["dim"]) % (len(dims) + 1)
    return (*dims[:place], fixed(1), *dims[place:])


def _expand(known: Flow, node: Node) -> Values:
    """One element along a dimension becomes many: as many as what it will meet has."""
    dims = _source(known, node)
    if node.op == "expand_as":
        other = known.of(node, "other")
        missing = len(other) - len(dims)
        return tuple(_met(dim, each) for dim, each in zip([fixed(1)] * missing + list(dims), other, strict=True))
    missing = len(node.shape) - len(dims)
    padded = [fixed(1)] * missing + list(dims)
    return tuple(dim if size_of(dim) == size else fresh(size) for dim, size in zip(padded, node.shape, strict=True))


def _met(dim: Dim, other: Dim) -> Dim:
    if size_of(dim) == size_of(other):
        unify(dim, other)
    return other


def _repeat(known: Flow, node: Node) -> Values:
    dims, times = _source(known, node), node.arguments["repeats"]
    padded = [fixed(1)] * (len(times) - len(dims)) + list(dims)
    return tuple(resolve(list(dim) * count) for dim, count in zip(padded, times, strict=True))


def _repeat_interleave(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    if not isinstance(node.arguments["repeats"], int) or node.arguments.get("dim") is None:
        raise _refuse(node, "repeats elements by a tensor or in a flattened order, which has no rule")
    place = int(node.arguments["dim"]) % len(dims)
    return (*dims[:place], repeat(dims[place], node.arguments["repeats"]), *dims[place + 1 :])


def _pad(known: Flow, node: Node) -> Values:
    dims, pads = list(_source(known, node)), node.arguments["pad"]
    for number in range(len(pads) // 2):
        before, after = pads[2 * number], pads[2 * number + 1]
        place = len(dims) - 1 - number
        if before < 0 or after < 0:
            if not is_fixed(dims[place]):
                raise _refuse(node, "crops channels")
            dims[place] = fixed(size_of(dims[place]) + before + after)
        else:
            dims[place] = resolve([*fixed(before), *dims[place], *fixed(after)] if before or after else dims[place])
    return tuple(resolve(part for part in dim if part.size) for dim in dims)


def _flip(known: Flow, node: Node) -> Values:
    dims = _source(known, node)
    if not all(is_fixed(dims[place]) for place in node.arguments["dims"] or range(len(dims))):
        raise _refuse(node, "moves channels to other places")
    return dims


def _pixel_shuffle(known: Flow, node: Node) -> Values:
    dims, factor = _source(known, node), int(node.arguments["upscale_factor"])
    made = fresh(size_of(dims[-3]) // factor**2)
    unify(dims[-3], repeat(made, factor**2))
    return (*dims[:-3], made, fixed(node.shape[-2]), fixed(node.shape[-1]))


def _pixel_unshuffle(known: Flow, node: Node) -> Values:
    dims, factor = _source(known, node), int(node.arguments["downscale_factor"])
    return (*dims[:-3], repeat(dims[-3], factor**2), fixed(node.shape[-2]), fixed(node.shape[-1]))


def _view(known: Flow, node: Node) -> Values:
    """A reshape: runs of dimensions on both sides that hold the same elements, each merged or cut."""
    dims = _source(known, node)
    result: list[Dim] = []
    for old, sizes in _runs(dims, node.shape):
        result += _regrouped(node, old, sizes)
    return tuple(result)


def _runs(dims: Dims, shape: Sequence[int]) -> Iterable[tuple[list[Dim], list[int]]]:
    """Both sides of a reshape, cut where they have held the same elements."""
    taken = made = 0
    while taken < len(dims) or made < len(shape):
        old, sizes = list(dims[taken : taken + 1]), list(shape[made : made + 1])
        taken, made = taken + len(old), made + len(sizes)
        while (before := prod(map(size_of, old))) != (after := prod(sizes)):
            if before < after:
                old.append(dims[taken])
                taken += 1
            else:
                sizes.append(shape[made])
                made += 1
        yield old, sizes


def _regrouped(node: Node, old: Sequence[Dim], sizes: Sequence[int]) -> list[Dim]:
    """The dimensions `old`, merged and cut to `sizes`."""
    if all(is_fixed(dim) for dim in old):
        return [fixed(size) for size in sizes]
    merged: Dim = fixed(1)
    for dim in old:
        if is_fixed(dim):
            merged = repeat(merged, size_of(dim))
        elif is_fixed(merged):
            merged = resolve(list(dim) * size_of(merged))
        else:
            raise _refuse(node, "multiplies two widths with each other, which no width rule can follow")
    divided = iter(_divided(node, merged, [size for size in sizes if size != 1]))
    return [fixed(1) if size == 1 else next(divided) for size in sizes]


def _divided(node: Node, dim: Dim, sizes: Sequence[int]) -> list[Dim]:
    """One dimension as several, the first varying slowest: groups of a known width, or parts that are there already."""
    dim = resolve(dim)
    if is_fixed(dim):
        return [fixed(size) for size in sizes]
    if len(sizes) == 1:
        return [dim]
    inner = prod(sizes[1:])
    if all(part.times % inner == 0 for part in dim):
        return [tuple(Part(part.group, part.times // inner) for part in dim), *map(fixed, sizes[1:])]
    ends = set(accumulate(part.size for part in dim))
    if all(number * inner in ends for number in range(1, sizes[0] + 1)):
        sections = cut(dim, [inner] * sizes[0])
        for section in sections[1:]:
            unify(sections[0], section)
        return [fixed(sizes[0]), *_divided(node, resolve(sections[0]), sizes[1:])]
    shown = " x ".join(map(str, sizes))
    raise _refuse(
        node, f"splits {size_of(dim)} channels into {shown}, and nothing tells which of these numbers may change"
    )


SHAPE_RULES: dict[str, Rule] = {
    **dict.fromkeys(("view", "reshape", "flatten", "unflatten", "_unsafe_view", "view_as", "reshape_as"), _view),
    **dict.fromkeys(("cat", "concat", "concatenate"), _cat),
    **dict.fromkeys(("split", "split_with_sizes", "chunk", "unsafe_chunk", "tensor_split"), _split),
    **dict.fromkeys(("transpose", "t", "numpy_T", "mT", "swapaxes"), _transpose),
    **dict.fromkeys(("expand", "expand_as", "broadcast_to"), _expand),
    **dict.fromkeys(("pad", "constant_pad_nd"), _pad),
    "stack": _stack,
    "glu": halves,
    "slice": _slice,
    "narrow": _narrow,
    "select": _select,
    "unbind": _unbind,
    "permute": _permute,
    "movedim": _movedim,
    "moveaxis": _movedim,
    "squeeze": _squeeze,
    "unsqueeze": _unsqueeze,
    "repeat": _repeat,
    "repeat_interleave": _repeat_interleave,
    "flip": _flip,
    "roll": _flip,
    "pixel_shuffle": _pixel_shuffle,
    "pixel_unshuffle": _pixel_unshuffle,
}
