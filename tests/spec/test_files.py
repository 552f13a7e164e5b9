import json
from dataclasses import replace

import pytest
from hypothesis import given, settings

from tests.spec.strategies import networks
from triscale.errors import FileError, SpecError
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network, preprocessing
from triscale.spec.files import (
    LARGEST_FILE,
    card_from_dict,
    card_to_dict,
    network_from_dict,
    network_to_dict,
    preprocessing_from_dict,
    preprocessing_to_dict,
    read_network,
    write_network,
)
from triscale.spec.network import Network, Stem, stage
from triscale.spec.scaling import scale

B0 = network("efficientnet_b0")


@pytest.fixture
def written(tmp_path):
    """Writes B0 with some values of its document changed, and returns the path."""

    def write(change=lambda document: None, text=None):
        path = tmp_path / "network.json"
        document = {"format": "triscale.network", "version": 1, "network": network_to_dict(B0)}
        change(document)
        path.write_text(json.dumps(document) if text is None else text, encoding="utf-8")
        return path

    return write


@pytest.mark.parametrize("name", list_networks())
def test_every_network_comes_back_from_its_file(name, tmp_path):
    write_network(network(name), tmp_path / "n.json")
    read = read_network(tmp_path / "n.json")
    assert (read, read.name) == (network(name), name)
    assert cost(read) == cost(network(name))
    write_network(read, tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == (tmp_path / "n.json").read_bytes()


@settings(max_examples=60, deadline=None)
@given(net=networks)
def test_any_network_comes_back_from_json(net):
    text = json.dumps(network_to_dict(net))
    read = network_from_dict(json.loads(text))
    assert (read, read.name) == (net, net.name)
    assert hash(read) == hash(net)
    assert json.dumps(network_to_dict(read)) == text


def test_a_scaled_network_comes_back_from_its_file(tmp_path):
    net = scale(network("mobilenet_v3_large"), 1.7, 1.3, 1.1)
    write_network(net, tmp_path / "deep" / "n.json")
    assert read_network(tmp_path / "deep" / "n.json") == net


def test_a_uniform_stage_is_one_row_of_the_file():
    assert network_to_dict(B0)["stages"][1] == {
        "block": {
            "kind": "mbconv",
            "channels": 24,
            "stride": 2,
            "expand": 6,
            "squeeze": {},
        },
        "repeats": 2,
    }


@pytest.mark.parametrize("name", ["efficientnet_b0", "efficientnet_lite3"])
def test_preprocessing_and_cards_come_back_too(name):
    own = replace(preprocessing(name), train_size=(192, 160), fill=0.5)
    assert preprocessing_from_dict(json.loads(json.dumps(preprocessing_to_dict(own)))) == own
    card = ModelCard(("cat", "dog"), "somewhere", "Apache-2.0", "00ff", {"top1": 0.75}, "none")
    assert card_from_dict(json.loads(json.dumps(card_to_dict(card)))) == card


def test_a_card_of_one_label_an_image_is_written_as_it_ever_was():
    """An older triscale, which refuses keys that it does not know, reads it too; and its cards are read here."""
    assert list(card_to_dict(ModelCard(("cat",)))) == ["classes", "origin", "licence", "sha256", "metrics", "notes"]
    assert card_from_dict({"classes": ["cat"]}) == ModelCard(("cat",), several=False, temperature=None)
    several = ModelCard(("cat", "dog"), several=True, temperature=1.25)
    assert card_from_dict(json.loads(json.dumps(card_to_dict(several)))) == several


@pytest.mark.parametrize("temperature", [0.0, -1.0, 1e400])
def test_a_temperature_that_cannot_divide_is_refused(temperature):
    with pytest.raises(SpecError, match=r"card\.temperature must be above 0 and finite"):
        card_from_dict({"temperature": temperature})


def put(*path_and_value):
    *path, key, value = path_and_value

    def change(document):
        place = document
        for step in path:
            place = place[step]
        place[key] = value

    return change


BLOCK = ("network", "stages", 1, "block")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            put(*BLOCK, "chanels", 24),
            r"network.stages\[1\].block has an unknown key 'chanels'; did you mean 'channels'",
        ),
        (put(*BLOCK, "colour", 24), "has an unknown key 'colour'; known: kind, channels, kernel"),
        (put("network", "k" * 10**6, 1), r"network has an unknown key 'kkk.*\.\.\."),
        (put(*BLOCK, "channels", 24.0), r"stages\[1\].block.channels: Expected `int`, got `float`; got 24.0"),
        (put(*BLOCK, "channels", True), r"block.channels: Expected `int`, got `bool`; got True"),
        (put(*BLOCK, "channels", "24"), r"block.channels: Expected `int`, got `str`; got '24'"),
        (put(*BLOCK, "channels", None), r"block.channels: Expected `int`, got `null`"),
        (put(*BLOCK, "channels", 10**9), r"stages\[1\].block: Block.channels must be a whole number in 1\.\.1,048,576"),
        (put(*BLOCK, "kind", "mbconf"), r"block.kind: expected one of mbconv, fused, .*; got 'mbconf'"),
        (put(*BLOCK, "kernel", 4), r"stages\[1\].block: Block.kernel must be odd"),
        (put(*BLOCK, "squeeze", 0.25), r"block.squeeze must be an object, got float"),
        (put(*BLOCK, "squeeze", "ratio", 0), r"block.squeeze: Squeeze.ratio must be a number above 0"),
        (put(*BLOCK, "expand", 1e300), "Block.expand must be a number above 0 and at most 1,000"),
        (put("network", "stages", 1, "block", []), r"stages\[1\].block must be an object, got list"),
        (put("network", "stages", 1, {}), r'stages\[1\] must have either "block" and "repeats" or "blocks"'),
        (put("network", "stages", 1, "blocks", []), 'must have either "block" and "repeats" or "blocks"'),
        (put("network", "stages", 1, "repeats", 0), r"stages\[1\]: deepen must be true or false and repeats in 1\.\."),
        (put("network", "stages", 1, "repeats", True), r"repeats in 1\.\.20,000, got True and True"),
        (put("network", "stages", 1, "repeats", 10**9), r"repeats in 1\.\.20,000, got True and 1000000000"),
        (put("network", "stages", 1, {"blocks": 3}), r"stages\[1\].blocks must be a list"),
        (put("network", "stages", 1, {"blocks": []}), r"network.stages\[1\]: Stage.blocks is empty"),
        (put("network", "stages", {}), "network.stages must be a list of stages"),
        (put("network", "stages", []), "network: Network 'efficientnet_b0' has no stages"),
        (put("network", "stem", None), "network.stem is missing"),
        (put("network", "stem", {"chanels": 5}), "network.stem has an unknown key 'chanels'; did you mean 'channels'"),
        (put("network", "head", "linear", 0), "network.head: Head.linear must be a whole number"),
        (put("network", "numerics", None), "network.numerics: Expected `object`, got `null`"),
        (put("network", "numerics", "padding", "valid"), "network.numerics.padding: expected one of same, symmetric"),
        (put("network", "resolution", 224), r"network.resolution must be \[height, width\], got 224"),
        (put("network", "resolution", [224, True]), "network.resolution: Expected `int`, got `bool`"),
        (put("network", "resolution", [0, 224]), "a size is a number of pixels"),
        (put("network", "classes", 0), "network: Network.classes must be a whole number"),
        (put("network", "name", 5), "network.name: Expected `str`, got `int`"),
        (put("network", []), "network must be an object, got list"),
    ],
)
def test_a_file_that_says_what_cannot_be_is_refused_with_the_place(written, change, message):
    path = written(change)
    with pytest.raises(SpecError, match=message) as refusal:
        read_network(path)
    assert str(refusal.value).startswith(f"{path}: network")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < len(str(path)) + 300


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (put("format", "triscale.run"), r'expected a network or detector file \("format": "triscale.network" or'),
        (put("version", 2), "is of format version 2, this triscale reads 1"),
        (put("version", True), "is of format version True, this triscale reads 1"),
        (put("version", None), "is of format version None, this triscale reads 1"),
    ],
)
def test_a_file_of_another_format_or_version_is_refused(written, change, message):
    with pytest.raises(FileError, match=message):
        read_network(written(change))


NETWORK = '{"format": "triscale.network", "version": 1, "network": %s}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON"),
        ("import os", "is not JSON"),
        ("[]", "expected a network or detector file"),
        ("3", "expected a network or detector file"),
        (NETWORK % '{"drop_connect": NaN}', r"is not JSON \(NaN is no JSON number\)"),
        (NETWORK % '{"drop_connect": -Infinity}', r"is not JSON \(-Infinity is no JSON number\)"),
        (NETWORK % '{"classes": 10, "classes": 20}', r"is not JSON \(key 'classes' is given twice\)"),
        ("[" * 200_000, "is not JSON"),
        ('{"a":' * 100_000, "is not JSON"),
        (NETWORK % f'{{"classes": {"9" * 5000}}}', "is not JSON"),
    ],
    ids=lambda text: text[:30],
)
def test_what_is_no_strict_json_is_refused(written, text, message):
    with pytest.raises(FileError, match=message) as refusal:
        read_network(written(text=text))
    assert "\n" not in str(refusal.value)


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "n.json").write_bytes(b"\xff\xfe\x00{")
    with pytest.raises(FileError, match="is not JSON"):
        read_network(tmp_path / "n.json")


def test_a_file_larger_than_any_network_is_refused_without_reading_it_all(tmp_path):
    with (tmp_path / "n.json").open("wb") as file:
        file.truncate(100 * LARGEST_FILE)
    with pytest.raises(FileError, match="has more than the 16,777,216 bytes of the largest network file"):
        read_network(tmp_path / "n.json")


def test_a_missing_file_is_answered_with_what_is_nearby(tmp_path):
    write_network(B0, tmp_path / "efficientnet.json")
    with pytest.raises(FileError, match=r"eficientnet\.json: no such file; nearby: efficientnet\.json"):
        read_network(tmp_path / "eficientnet.json")
    with pytest.raises(FileError, match=r"zzz: no such file\."):
        read_network(tmp_path / "zzz")
    with pytest.raises(FileError, match=r"no such file\."):
        read_network(tmp_path / "nowhere" / "n.json")


def test_a_folder_is_no_network_file(tmp_path):
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        read_network(tmp_path)


def test_many_stages_of_many_blocks_are_refused_before_they_are_made(written):
    row = {"block": {"kind": "mbconv", "channels": 8}, "repeats": 20_000}
    with pytest.raises(SpecError, match=r"network.stages\[1\]: with it there are 40,000 blocks; 20,000 are the most"):
        read_network(written(put("network", "stages", [row] * 50_000)))
    blocks = [{"kind": "mbconv", "channels": 8}] * 200_000
    with pytest.raises(SpecError, match=r"network.stages\[0\].blocks must be a list of at most 20,000 blocks"):
        read_network(written(put("network", "stages", [{"blocks": blocks}])))


def test_the_largest_numbers_that_a_file_may_hold_are_costed(tmp_path):
    block = Block("fused", 1 << 20, 1023, expand=1000)
    write_network(Network("vast", Stem(1 << 20), (stage(block, 20_000),), None, 1 << 20), tmp_path / "n.json")
    assert (
        cost(read_network(tmp_path / "n.json")).params
        == 20_000 * (1023**2 * 1000 * 2**40 + 2 * 1000 * 2**20 + 1000 * 2**40 + 2 * 2**20) + 9 * 3 * 2**20 + 2 * 2**20
    )


def test_a_file_never_needs_what_equals_a_default(written):
    read = network_from_dict({"stem": {}, "stages": [{"block": {"kind": "mbconv", "channels": 16}}]})
    assert read == Network("unnamed", Stem(), (stage(Block("mbconv", 16)),), None)
