"""Random networks for property tests: every kind of block, mixed stages, explicit widths, any head."""

from dataclasses import replace

from hypothesis import assume
from hypothesis import strategies as st

from triscale.spec.block import Block, Squeeze
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.network import Head, Network, Numerics, Stage, Stem
from triscale.spec.pyramid import Node, Pyramid
from triscale.spec.rounding import Rounding

KERNELS = st.sampled_from([1, 3, 5, 7])
ACTIVATIONS = st.sampled_from(["silu", "swish", "relu", "relu6", "hardswish", "identity"])
EXPANSIONS = st.sampled_from([0.5, 1.0, 1.5, 3.0, 6.0])
SIDES = st.integers(1, 70)

squeezes = st.builds(
    Squeeze,
    ratio=st.sampled_from([0.25, 0.5, 1.0]),
    of=st.sampled_from(["input", "hidden", "output"]),
    divisor=st.sampled_from([1, 8]),
    channels=st.none() | st.integers(1, 40),
    gate=st.sampled_from(["sigmoid", "hardsigmoid"]),
    activation=st.none() | ACTIVATIONS,
)


@st.composite
def blocks(draw, channels, stride):
    kind = draw(st.sampled_from(["mbconv", "fused", "separable", "bottleneck", "basic"]))
    expand, hidden = draw(EXPANSIONS), draw(st.none() | st.integers(1, 50))
    relative_to = draw(st.sampled_from(["input", "output"]))
    takes_squeeze = kind != "fused" or (expand, hidden, relative_to) != (1, None, "input")
    return Block(
        kind,
        channels,
        draw(KERNELS),
        stride,
        expand,
        hidden,
        relative_to,
        draw(st.none() | squeezes) if takes_squeeze else None,
        draw(ACTIVATIONS),
        draw(st.booleans()),
    )


@st.composite
def stages(draw):
    channels, stride = draw(st.integers(1, 40)), draw(st.sampled_from([1, 2, 2, 3]))
    first = draw(blocks(channels, stride))
    rest = draw(st.lists(blocks(channels, 1), max_size=3))
    return Stage((first, *rest), draw(st.booleans()))


heads = st.builds(
    Head,
    channels=st.none() | st.integers(1, 60),
    activation=ACTIVATIONS,
    linear=st.none() | st.integers(1, 60),
    dropout=st.sampled_from([0.0, 0.2]),
    scaling=st.sampled_from(["full", "fixed", "grow"]),
)

networks = st.builds(
    Network,
    name=st.sampled_from(["random", "näme with spaces", ""]),
    stem=st.builds(
        Stem,
        channels=st.integers(1, 40),
        kernel=KERNELS,
        stride=st.integers(1, 3),
        activation=ACTIVATIONS,
        pool=st.booleans(),
        bias=st.booleans(),
        scaled=st.booleans(),
    ),
    stages=st.lists(stages(), min_size=1, max_size=5).map(tuple),
    head=st.none() | heads,
    resolution=st.tuples(SIDES, SIDES),
    classes=st.integers(1, 50),
    in_channels=st.sampled_from([1, 3, 13]),
    numerics=st.sampled_from([Numerics(), Numerics("same", 1e-3, 0.01)]),
    drop_connect=st.sampled_from([0.0, 0.2]),
    rounding=st.sampled_from([Rounding(), Rounding(floor=0.0), Rounding(1, 1), Rounding(16, 32, 0.5)]),
)


@st.composite
def pyramids(draw, levels):
    """Any edges at all: also levels without a node, and several nodes at one level."""
    count = levels[1] - levels[0] + 1
    nodes = []
    for number in range(draw(st.integers(0, 6))):
        inputs = draw(st.lists(st.integers(0, count + number - 1), min_size=1, max_size=4, unique=True))
        combine = draw(st.sampled_from(["fuse", "attend"])) if len(inputs) == 2 else "fuse"
        nodes.append(Node(draw(st.integers(*levels)), tuple(inputs), combine, draw(st.booleans())))
    return Pyramid(
        draw(st.sampled_from(["", "random"])),
        tuple(nodes),
        levels,
        draw(st.integers(1, 24)),
        draw(st.integers(1, 3)),
        draw(st.sampled_from(["fast", "softmax", "sum"])),
        draw(st.booleans()),
        draw(ACTIVATIONS),
    )


@st.composite
def made_detectors(draw):
    """A detector on a random network: from any of its strides that is a power of 2, to any coarser level."""
    backbone = replace(draw(networks), head=None)
    fed = [level for level in range(1, 8) if 2**level in backbone.reductions()]
    assume(fed)
    finest = draw(st.sampled_from(fed))
    return Detector(
        draw(st.sampled_from(["random", ""])),
        backbone,
        draw(pyramids((finest, finest + draw(st.integers(0, 4))))),
        draw(st.builds(Heads, repeats=st.integers(1, 3), separable=st.booleans(), activation=ACTIVATIONS)),
        draw(st.builds(Anchors, octaves=st.sampled_from([(0.0,), (0.0, 0.5)]))),
        draw(st.integers(1, 20)),
        draw(st.sampled_from([Numerics(), Numerics("same", 1e-3, 0.01)])),
        draw(st.booleans()),
    )


detectors = made_detectors()
