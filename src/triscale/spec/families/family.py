"""What every family is: a table of rows for its baseline, a table of published sizes, and how photographs are read."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from triscale.spec.block import Activation, Block, Kind, Squeeze
from triscale.spec.network import Network, Numerics, Stage, stage
from triscale.spec.owners import IMAGENET, TIMM, Owner
from triscale.spec.preprocessing import Interpolation, Preprocessing
from triscale.spec.scaling import scale


class Row(NamedTuple):
    """One stage of a family's baseline, as its paper prints it."""

    kind: Kind
    expand: float
    kernel: int
    stride: int
    channels: int
    repeats: int
    squeeze: bool = False
    skip: bool = True


class Member(NamedTuple):
    """One published size: multipliers of the baseline, evaluation pixels, dropout.

    train: pixels in training, where they are others. interpolation: where it is not the family's.
    owner, numerics: where they are not the family's. fixed: stem, head, first and last stage are left as they are.
    """

    width: float = 1.0
    depth: float = 1.0
    resolution: int = 224
    dropout: float = 0.2
    train: int | None = None
    interpolation: Interpolation | None = None
    owner: Owner | None = None
    numerics: Numerics | None = None
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Family:
    """A family: its paper, its sizes by name, and the function from a size to a network.

    make: reads the width, the depth and what is fixed; the loop sets the rest. owner, numerics: of the plain names.
    google: numerics of the `tf_` forms; None where nobody has such. preprocessing: its size and crop are set by the
    loop. sizes: plain name -> (training, evaluation) pixels, where their owner keeps the whole of another size.
    """

    title: str
    paper: str
    members: Mapping[str, Member]
    make: Callable[[Member], Network] = field(repr=False)
    owner: Owner = "timm"
    numerics: Numerics = TIMM
    google: Numerics | None = None
    preprocessing: Preprocessing = IMAGENET
    sizes: Mapping[str, tuple[int, int]] = field(default_factory=dict)


def scaled(baseline: Callable[[], Network]) -> Callable[[Member], Network]:
    """The `make` of a family that is its baseline times two multipliers; the baseline is made when it is needed."""
    return lambda member: scale(baseline(), member.depth, member.width)


def stages_of(
    rows: tuple[Row, ...], activation: Activation, squeeze: Squeeze | None = None, *, deepen_ends: bool = True
) -> tuple[Stage, ...]:
    """The stages of a table. `squeeze` is what the rows that are marked have; see `Member.fixed` for `deepen_ends`."""
    last = len(rows) - 1
    return tuple(
        stage(
            Block(
                row.kind,
                row.channels,
                row.kernel,
                row.stride,
                row.expand,
                squeeze=squeeze if row.squeeze else None,
                activation=activation,
                skip=row.skip,
            ),
            row.repeats,
            deepen=deepen_ends or 0 < number < last,
        )
        for number, row in enumerate(rows)
    )


def made(family: Family, name: str, member: Member, numerics: Numerics) -> Network:
    """The network of one published size, complete."""
    network = family.make(member)
    head = network.head
    return replace(
        network,
        name=name,
        head=None if head is None else replace(head, dropout=member.dropout),
        resolution=(member.resolution, member.resolution),
        numerics=numerics,
    )


def read_as(family: Family, name: str, member: Member) -> Preprocessing:
    """How the owner of the published weights of that name reads photographs.

    Source: tensorflow/tpu preprocessing.py: of a photograph the central size / (size + 32) is kept.
    """
    base = replace(family.preprocessing, interpolation=member.interpolation or family.preprocessing.interpolation)
    if name in family.sizes:
        train, side = family.sizes[name]
        return replace(base, size=(side, side), train_size=(train, train), crop=1.0)
    side = member.resolution
    return replace(
        base,
        size=(side, side),
        train_size=None if member.train is None else (member.train, member.train),
        crop=1.0 if base.fit == "squash" else round(side / (side + 32), 4),
    )
