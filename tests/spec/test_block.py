import pytest

from triscale.errors import SpecError
from triscale.spec.block import Block, Squeeze

NAN, INFINITY = float("nan"), float("inf")


def test_an_expansion_makes_hidden_channels_of_the_input_unless_they_are_given():
    assert Block("mbconv", 24, expand=6).hidden_channels(16) == 96
    assert Block("mbconv", 24, expand=6, relative_to="output").hidden_channels(16) == 144
    assert Block("mbconv", 24, expand=6, hidden=72).hidden_channels(16) == 72
    assert Block("mbconv", 24, expand=0.01).hidden_channels(16) == 1


def test_efficientnet_truncates_a_quarter_of_the_input_and_mobilenet_v3_rounds_a_quarter_of_the_hidden_width():
    # tensorflow/tpu efficientnet_model.py: 112 -> 28, 10 of 40; torchvision mobilenetv3.py: 72 -> 24, 960 -> 240
    assert Block("mbconv", 40, expand=6, squeeze=Squeeze(0.25)).squeeze_channels(40) == 10
    assert Block("mbconv", 40, expand=6, squeeze=Squeeze(0.25)).squeeze_channels(3) == 1
    v3 = Squeeze(0.25, "hidden", 8)
    assert [Block("mbconv", 40, hidden=h, squeeze=v3).squeeze_channels(24) for h in (72, 120, 960)] == [24, 32, 240]


def test_an_explicit_squeeze_width_is_taken_as_it_is():
    assert Block("mbconv", 40, squeeze=Squeeze(channels=7)).squeeze_channels(40) == 7
    assert Block("mbconv", 40).squeeze_channels(40) == 0


def test_a_residual_needs_stride_1_equal_channels_and_a_kind_that_sums():
    assert Block("mbconv", 16).has_residual(16)
    assert not Block("mbconv", 16, stride=2).has_residual(16)
    assert not Block("mbconv", 24).has_residual(16)
    assert not Block("mbconv", 16, skip=False).has_residual(16)
    assert not Block("separable", 16).has_residual(16)
    assert Block("basic", 24, stride=2).projects_residual(16)
    assert not Block("basic", 16).projects_residual(16)
    assert not Block("mbconv", 24, stride=2).projects_residual(16)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "mbconf"}, "Block.kind must be one of mbconv, fused, .*; got 'mbconf'"),
        ({"activation": ["silu"]}, r"Block.activation must be one of silu, .*; got \['silu'\]"),
        ({"kernel": 4}, "Block.kernel must be odd .* got kernel=4; try 3 or 5"),
        ({"kernel": 0}, r"Block.kernel must be a whole number in 1\.\.1,023, got 0"),
        ({"kernel": 3.0}, "Block.kernel must be a whole number .* got 3.0"),
        ({"stride": 0}, "Block.stride must be a whole number"),
        ({"channels": 0}, "Block.channels must be a whole number"),
        ({"channels": True}, "Block.channels must be a whole number .* got True"),
        ({"channels": 10**9}, r"Block.channels must be a whole number in 1\.\.1,048,576, got 1000000000"),
        ({"channels": 10**5000}, r"Block.channels must be a whole number .* got a number of 16610 bits"),
        ({"channels": "16"}, "Block.channels must be a whole number .* got '16'"),
        ({"hidden": -1}, "Block.hidden must be a whole number"),
        ({"expand": 0}, "Block.expand must be a number above 0"),
        ({"expand": NAN}, "Block.expand must be a number above 0 .* got nan"),
        ({"expand": INFINITY}, "Block.expand must be a number above 0 and at most 1,000, got inf"),
        ({"expand": "6"}, "Block.expand must be a number above 0 .* got '6'"),
        ({"relative_to": "hidden"}, 'Block.relative_to must be "input" or "output"'),
        ({"kind": "shuffle", "squeeze": Squeeze()}, "a shuffle block .* has no place for squeeze-excite"),
        ({"kind": "fused", "squeeze": Squeeze()}, "a fused block with expand=1.0 has no place for squeeze-excite"),
    ],
)
def test_a_block_that_cannot_be_built_is_refused_in_one_line(wrong, message):
    with pytest.raises(SpecError, match=message) as refusal:
        Block(**{"kind": "mbconv", "channels": 16, **wrong})
    assert len(str(refusal.value)) < 250


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ratio": 0}, "Squeeze.ratio must be a number above 0"),
        ({"ratio": NAN}, "Squeeze.ratio must be a number above 0"),
        ({"divisor": 0}, "Squeeze.divisor must be a whole number"),
        ({"channels": 0}, "Squeeze.channels must be a whole number"),
        ({"of": "stem"}, "Squeeze.of must be one of input, output, hidden; got 'stem'"),
        ({"gate": "softmax"}, "Squeeze.gate must be one of .*; got 'softmax'"),
        ({"activation": "gelu"}, "Squeeze.activation must be one of .*; got 'gelu'"),
    ],
)
def test_a_squeeze_that_cannot_be_built_is_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        Squeeze(**wrong)
