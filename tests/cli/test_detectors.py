"""`list`, `info` and `scale` of detectors: the same commands, the same answers."""

import json

import pytest

from tests.fitted import refusal, triscale
from tests.golden import golden
from triscale.spec.cost import cost
from triscale.spec.families.efficientdet import detector, list_detectors
from triscale.spec.files import detector_from_dict, read_network, write_network
from triscale.spec.scaling import compound, scale

EXACT = {name: row["exact"] for name, row in golden("detection")["models"].items()}


def answer(*arguments):
    return json.loads(triscale(*arguments, "--json").out)


def test_list_shows_every_detector_with_its_cost_and_its_published_ap():
    lines = triscale("list", "efficientdet*").out.splitlines()
    assert lines[0].split() == ["name", "pixels", "params", "MACs", "activations", "memory", "AP", "of"]
    assert [line.split()[0] for line in lines[1:]] == list_detectors()
    assert lines[1].split()[:4] == ["efficientdet_d0", "512", "3.88M", "2.49G"]
    assert lines[1].endswith("34.6  EfficientDet paper, test-dev2017")


def test_list_as_json_has_exact_counts():
    found = {each["name"]: each for each in answer("list", "efficientdet*")}
    assert {name: (each["params"], each["macs"]) for name, each in found.items()} == {
        name: (each["params"], each["macs"]) for name, each in EXACT.items()
    }
    assert {each["kind"] for each in found.values()} == {"detector"}


def test_list_aliases_knows_effdets_names():
    rows = {each["name"]: each for each in answer("list", "*efficientdet_d0*", "--aliases")}
    assert rows["tf_efficientdet_d0"]["network"] == "efficientdet_d0"
    assert rows["effdet_efficientdet_d0"]["numerics"] == {"padding": "symmetric", "eps": 1e-5, "momentum": 0.1}


def test_info_tells_what_each_part_costs_and_adds_up():
    found, exact = answer("info", "efficientdet_d0"), EXACT["efficientdet_d0"]
    assert [part["params"] for part in found["parts"].values()] == exact["params_by_part"]
    assert sum(part["macs"] for part in found["parts"].values()) == found["macs"] == exact["macs"]
    assert found["anchors"] == 49_104
    assert detector_from_dict(found["detector"]) == detector("efficientdet_d0")
    assert found["published"][0]["ap"] == 34.6


def test_info_in_words_names_the_pyramid_the_anchors_and_the_departures():
    out = triscale("info", "efficientdet_lite0").out
    assert "pyramid: bifpn x 3, P3 to P7, 64 channels, sum fusion, separable convolutions, relu6" in out
    # 320 / 3 pixels are one of the coarsest map's, and 3 of those the smallest anchor's side
    assert "anchors: 19,206, 9 at a location, scale 3; sides from 24, 48, 96, 192, 320 px, level by level" in out
    assert "pyramid repeats: 8 by the rule, 7 released" in triscale("info", "efficientdet_d5").out


def test_info_layers_add_up_to_the_whole_at_another_size():
    found = answer("info", "efficientdet_d0", "--size", "224", "352", "--layers")
    assert found["size"] == [224, 352]
    assert sum(each["macs"] for each in found["operations"]) == found["macs"]
    lines = triscale("info", "efficientdet_d0", "--layers").out.splitlines()
    assert any(line.startswith("class_head ") and " 810 x 5456 x 1 " in line for line in lines)


def test_info_blocks_are_those_of_the_backbone():
    lines = triscale("info", "efficientdet_d0", "--blocks").out.splitlines()
    assert any("MBConv6, k5x5" in line for line in lines)


def test_info_reads_detector_files(tmp_path):
    write_network(compound(detector("efficientdet_d0"), 1), tmp_path / "d.json")
    assert answer("info", tmp_path / "d.json")["name"] == "efficientdet_d0-phi1"


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("--phi", "1"), compound(detector("efficientdet_d0"), 1)),
        (("--depth", "2", "--width", "0.5"), scale(detector("efficientdet_d0"), 2, 0.5)),
        (("--phi", "1", "--rule", "width"), scale(detector("efficientdet_d0"), width=2**0.5)),
        (("--fast", "4"), scale(detector("efficientdet_d0"), 4**0.1, 4**0.4, 4**0.05)),
    ],
)
def test_scale_makes_what_the_functions_make(options, expected, tmp_path):
    found = answer("scale", "efficientdet_d0", *options, "--out", tmp_path / "d.json")
    assert detector_from_dict(found["detector"]) == read_network(tmp_path / "d.json") == expected
    assert found["macs"] == cost(expected).macs


@pytest.mark.parametrize("word", ["--to", "--budget"])
def test_scale_meets_a_budget(word, tmp_path):
    out = tmp_path / "mine.json"
    lines = triscale("scale", "efficientdet_d0", word, "macs<=2G, params<=4M", "--out", out).out.splitlines()
    own = cost(read_network(out))
    assert 1.8e9 < own.macs <= 2e9
    assert own.params <= 4e6
    assert any(line.startswith("rule: EfficientDet's; the backbone's depth x") for line in lines)
    assert lines[-3].startswith("macs: ")
    assert lines[-1] == f"written to {out}"


def test_scale_table_shows_the_rule_beside_what_was_released():
    lines = triscale("scale", "efficientdet_d0", "--table").out.splitlines()
    row = next(line for line in lines if line.startswith("efficientdet_d7 "))
    assert "B7 / B6 *  523 / 384 *" in row
    found = answer("scale", "efficientdet_d0", "--table")
    assert {"name": "efficientdet_d7", "what": "resolution", "rule": 1408, "released": 1536} in found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("info", "efficientdet-d0"), "no detector is called 'efficientdet-d0'; did you mean efficientdet_d0"),
        (
            ("info", "efficientdet_d0", "--training", "4"),
            "--training is for networks, and efficientdet_d0 is a detector",
        ),
        (("info", "efficientdet_d0", "--picture", "x.svg"), "--picture is for networks"),
        (
            ("scale", "efficientdet_d0", "--curve", "x.svg"),
            "--curve is for networks, and efficientdet_d0 is a detector",
        ),
        (("scale", "efficientdet_d0", "--panels", "x.svg"), "--panels is for networks"),
        (("scale", "efficientdet_d0", "--phi", "1", "--gamma", "1.3"), "and has no gamma, got 1.3"),
        (("scale", "efficientdet_d0", "--to", "latency<=3ms"), "latency is measured on networks only"),
        (("scale", "efficientdet_d0", "--to", "macs<=1K"), "nothing of efficientdet_d0 with 90 classes is inside"),
        (("scale", "efficientdet_lite0", "--table"), "efficientdet_lite0: no rule was published of it"),
        (("scale", "efficientdet_d0"), "scale takes one of --depth, --width or --resolution;"),
    ],
)
def test_what_a_detector_has_not_is_refused_in_one_line(arguments, said):
    assert said in refusal(*arguments)
