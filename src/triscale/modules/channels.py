"""Which channels are one width: dimensions as sums of groups, and what it means that two dimensions are the same.

A dimension is a sequence of parts. A part is a group of channels, each standing for `times` neighbouring elements (a
flattened 7x7 map makes one channel 49 elements; a grouped convolution counts in groups of so many channels), or a
number of elements that never changes. A concatenation is several parts; that two dimensions are the same binds their
groups, cutting them where the parts of one end inside a part of the other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from math import lcm
from typing import NamedTuple


class Group:
    """A width that may change. value: what it turned out to be made of; None while it stands for itself."""

    __slots__ = ("size", "value")

    def __init__(self, size: int) -> None:
        self.size = size
        self.value: Dim | None = None


class Part(NamedTuple):
    """`times` elements for each channel of `group`; without a group, `times` elements for ever."""

    group: Group | None
    times: int

    @property
    def size(self) -> int:
        """Elements before scaling."""
        return self.times if self.group is None else self.group.size * self.times


Dim = tuple[Part, ...]
Dims = tuple[Dim, ...]


class MisalignedError(Exception):
    """A boundary inside a channel, or inside a group of a grouped convolution: no width can be told there."""


def fixed(size: int) -> Dim:
    """A dimension that never changes."""
    return (Part(None, size),)


def fresh(size: int) -> Dim:
    """A dimension of which nothing is known yet; a single element is never a width."""
    return (Part(Group(size), 1),) if size > 1 else fixed(size)


def resolve(dim: Iterable[Part]) -> Dim:
    """`dim` in groups that stand for themselves, neighbouring fixed parts joined."""
    parts: list[Part] = []
    for part in dim:
        if part.group is None or part.group.value is None:
            inner: Dim = (part,)
        else:
            part.group.value = resolve(part.group.value)  # the next look-up is one step
            inner = tuple(Part(p.group, p.times * part.times) for p in part.group.value)
        for each in inner:
            if each.group is None and parts and parts[-1].group is None:
                parts[-1] = Part(None, parts[-1].times + each.times)
            else:
                parts.append(each)
    return tuple(parts)


def size_of(dim: Iterable[Part]) -> int:
    """Elements before scaling."""
    return sum(part.size for part in dim)


def measure(dim: Dim, widths: Mapping[Group, int]) -> int:
    """Elements of a resolved dimension when groups have `widths`; a group that is not among them keeps its size."""
    return sum(p.times if p.group is None else p.times * widths.get(p.group, p.group.size) for p in dim)


def is_fixed(dim: Iterable[Part]) -> bool:
    """Whether no width is in it."""
    return all(part.group is None for part in resolve(dim))


def freeze(dim: Iterable[Part]) -> None:
    """Let every width in `dim` stay as it is."""
    for part in resolve(dim):
        if part.group is not None:
            part.group.value = fixed(part.group.size)


def repeat(dim: Iterable[Part], times: int) -> Dim:
    """Each element of `dim` `times` times, next to each other."""
    return tuple(Part(part.group, part.times * times) for part in resolve(dim))


def unify(first: Dim, second: Dim) -> None:
    """From now on the two are the same dimension."""
    if size_of(first) != size_of(second):
        raise MisalignedError
    while _bound_one(resolve(first), resolve(second)):
        pass


def cut(dim: Dim, sizes: Sequence[int]) -> list[Dim]:
    """Consecutive pieces of `dim`, of `sizes` elements; groups are cut in two where a piece ends inside them.

    Raises: MisalignedError where a piece would end inside the elements of one channel.
    """
    pieces, rest = [], resolve(dim)
    for size in sizes:
        piece: list[Part] = []
        while size_of(piece) < size:
            head, missing = rest[0], size - size_of(piece)
            if head.size > missing:
                rest = (*_split(head, missing), *rest[1:])
            else:
                piece.append(head)
                rest = rest[1:]
        pieces.append(tuple(piece))
        rest = resolve(rest)
    return [resolve(piece) for piece in pieces]


def _split(part: Part, size: int) -> tuple[Part, Part]:
    if part.group is None:
        return Part(None, size), Part(None, part.times - size)
    if size % part.times:
        raise MisalignedError
    first, second = Group(size // part.times), Group(part.group.size - size // part.times)
    part.group.value = resolve([*_whole(first), *_whole(second)])
    return Part(first, part.times), Part(second, part.times)


def _whole(group: Group) -> Dim:
    return (Part(group, 1),)


def _bound_one(first: Dim, second: Dim) -> bool:
    """Bind the first groups that differ; False when the two dimensions are the same already."""
    if first == second:
        return False
    for one, other in ((first, second), (second, first)):
        group = one[0].group
        if len(one) == 1 and group is not None and one[0].times == 1 and all(p.group is not group for p in other):
            group.value = other
            return True
    left, right = list(reversed(first)), list(reversed(second))
    while left and right:
        one, other = left.pop(), right.pop()
        if one.size == other.size:
            if _bind(one, other):
                return True
            continue
        longer, size, rest = (one, other.size, left) if one.size > other.size else (other, one.size, right)
        if longer.group is not None:
            try:
                _split(longer, size)
            except MisalignedError:
                freeze((longer,))
            return True
        rest.append(Part(None, longer.times - size))
        if _bind(Part(None, size), other if longer is one else one):
            return True
    return False


def _bind(one: Part, other: Part) -> bool:
    """Make two parts of one size the same; whether anything changed."""
    if one == other:
        return False
    if one.group is None or other.group is None:
        freeze((one, other))
        return True
    if one.times == other.times:
        other.group.value = _whole(one.group)
        return True
    common = lcm(one.times, other.times)
    shared = Group(one.size // common)
    one.group.value = (Part(shared, common // one.times),)
    other.group.value = (Part(shared, common // other.times),)
    return True
