"""Random networks for property tests: every kind of block, mixed stages, explicit widths, any head."""

from hypothesis import strategies as st

from triscale.spec.block import Block, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stage, Stem
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
