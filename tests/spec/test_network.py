import copy
import os
import pickle
import subprocess
import sys
from dataclasses import replace

import pytest

from triscale.errors import SpecError
from triscale.spec.block import Block, Squeeze
from triscale.spec.families import network
from triscale.spec.network import Head, Network, Numerics, Stage, Stem, as_size, shrink, stage

B0 = network("efficientnet_b0")
ROW = Block("mbconv", 24, 3, 2, 6, squeeze=Squeeze(0.25))


def test_a_uniform_stage_is_its_block_and_copies_without_the_stride():
    assert [b.stride for b in stage(ROW, 3).blocks] == [2, 1, 1]
    assert stage(ROW, 3) == Stage((ROW, replace(ROW, stride=1), replace(ROW, stride=1)))
    assert (stage(ROW).channels, stage(ROW).stride) == (24, 2)


def test_equal_stages_are_one_key_and_a_different_depth_rule_is_another():
    assert {stage(ROW, 2): "here"}[stage(replace(ROW), 2)] == "here"
    assert stage(ROW, 2) != stage(ROW, 2, deepen=False)
    assert stage(ROW, 2) != (ROW, ROW)


def test_networks_that_differ_only_in_name_are_equal():
    assert replace(B0, name="mine") == B0
    assert replace(B0, classes=10) != B0


def test_blocks_are_placed_with_the_channels_that_reach_them():
    placed = list(B0.placed_blocks())
    assert len(placed) == 16
    assert [p.in_channels for p in placed[:4]] == [32, 16, 24, 24]
    assert (placed[-1].stage, placed[-1].index, placed[-1].in_channels) == (6, 0, 192)


def test_feature_maps_of_b0_come_from_stages_1_2_3_5_and_7():
    # tensorflow/tpu reduction points, in the paper's count of stages behind the stem
    assert {stride: last + 1 for stride, last in B0.reductions().items()} == {2: 1, 4: 2, 8: 3, 16: 5, 32: 7}


def test_the_classifier_reads_the_head_the_linear_layer_or_the_last_stage():
    assert B0.feature_channels == 1280
    assert network("mobilenet_v3_large").feature_channels == 1280
    assert replace(B0, head=None).feature_channels == 320
    assert replace(B0, head=Head(None)).feature_channels == 320


def test_a_network_says_what_it_is_in_one_line():
    assert str(B0) == "efficientnet_b0: 7 stages, 16 blocks, 224 x 224 px, 1000 classes"


@pytest.mark.parametrize("size", [193, (193, 257), [193, 257]])
def test_a_size_is_one_number_or_a_pair(size):
    assert as_size(size) in ((193, 193), (193, 257))


@pytest.mark.parametrize(
    "size", [0, -1, True, 224.0, None, "224", (224,), (1, 2, 3), (224, 0), (224, 1.5), (True, True), 2**40, {1: 2}]
)
def test_anything_else_is_no_size(size):
    with pytest.raises(SpecError, match=r"a size is a number of pixels in 1\.\.1,048,576 or a pair"):
        as_size(size)


def test_a_stride_rounds_the_output_up():
    assert shrink((193, 257), 2) == (97, 129)
    assert shrink((1, 1), 2) == (1, 1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Stage(()), "Stage.blocks is empty"),
        (lambda: Stage((ROW, ROW)), "only the first block of a Stage may have a stride; block 1 has stride=2"),
        (
            lambda: Stage((ROW, replace(ROW, stride=1, channels=32))),
            "block 0 has 24 channels, block 1 has 32",
        ),
        (lambda: stage(ROW, 0), r"stage\(repeats=...\) must be a whole number in 1..20,000, got 0"),
        (lambda: stage(ROW, 10**9), "must be a whole number in 1..20,000, got 1000000000"),
        (lambda: Stem(0), "Stem.channels must be a whole number"),
        (lambda: Stem(kernel=2), "Stem.kernel must be odd .* try 1 or 3"),
        (lambda: Stem(stride=0), "Stem.stride must be a whole number"),
        (lambda: Head(0), "Head.channels must be a whole number"),
        (lambda: Head(linear=-5), "Head.linear must be a whole number"),
        (lambda: Head(dropout=1.0), r"Head.dropout must be in 0..1, got 1.0"),
        (lambda: Head(dropout=float("nan")), "Head.dropout must be in 0..1, got nan"),
        (lambda: Head(scaling="half"), 'Head.scaling must be "full", "fixed" or "grow"'),
        (lambda: Numerics("valid"), 'Numerics.padding must be "same" or "symmetric", got \'valid\''),
        (lambda: Numerics(eps=0), "Numerics.eps must be a number above 0"),
        (lambda: Numerics(eps=float("nan")), "Numerics.eps must be a number above 0"),
        (lambda: Numerics(momentum=1.5), "Numerics.momentum must be a number above 0 and at most 1"),
        (lambda: replace(B0, stages=()), "Network 'efficientnet_b0' has no stages"),
        (lambda: replace(B0, classes=0), "Network.classes must be a whole number"),
        (lambda: replace(B0, in_channels=2.0), "Network.in_channels must be a whole number"),
        (lambda: replace(B0, drop_connect=1.0), r"Network.drop_connect must be in 0..1, got 1.0"),
        (lambda: replace(B0, resolution=(0, 224)), "a size is a number of pixels"),
        (lambda: replace(B0, stages=(stage(ROW, 20_000), stage(ROW))), "has 20,001 blocks; 20,000 are the most"),
    ],
)
def test_a_network_that_cannot_be_is_refused(make, message):
    with pytest.raises(SpecError, match=message):
        make()


@pytest.mark.parametrize(
    ("block", "reaching", "message"),
    [
        (Block("shuffle", 16), 8, "needs an even number and as many out as in; got 8 in and 16 out"),
        (Block("xception", 15), 15, "needs an even number and as many out as in; got 15 in and 15 out"),
        (Block("shuffle", 16, stride=2), 16, "keeps its 16 input channels .* needs more than that out; got 16"),
    ],
)
def test_units_that_let_channels_pass_refuse_widths_they_cannot_split(block, reaching, message):
    with pytest.raises(SpecError, match=message):
        Network("split", Stem(reaching), (Stage((block,)),), None)


def test_copies_and_pickles_are_equal():
    assert copy.deepcopy(B0) == copy.copy(B0) == pickle.loads(pickle.dumps(B0)) == B0


def test_a_pickled_network_is_the_same_dictionary_key_in_a_process_that_hashes_strings_differently():
    script = (
        "import pickle, sys\n"
        "from triscale.spec.families import network\n"
        "sent, own = pickle.loads(sys.stdin.buffer.read()), network('efficientnet_b0')\n"
        "print({own: 'found'}.get(sent), {own.stages[1]: 'found'}.get(sent.stages[1]), hash('mbconv'))\n"
    )
    answers = [
        subprocess.run(
            [sys.executable, "-c", script],
            input=pickle.dumps(B0),
            capture_output=True,
            check=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.split()
        for seed in ("1", "2")
    ]
    assert [answer[:2] for answer in answers] == [[b"found", b"found"]] * 2
    assert answers[0][2] != answers[1][2]
