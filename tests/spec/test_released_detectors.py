import pytest

from tests.golden import golden
from triscale.errors import SpecError
from triscale.spec.families.efficientdet import detector, list_detectors
from triscale.spec.released_detectors import departures, rule_and_released
from triscale.spec.scaling import compound

RULE = golden("detection")["scaling_rule"]["departures_of_released_models"]
MODELS = golden("detection")["models"]
NAMES = {f"efficientdet_d{phi}": f"D{phi}" for phi in range(8)}


@pytest.mark.parametrize("name", NAMES)
def test_rule_and_released_are_the_published_pairs(name):
    rows = {each.what: each for each in rule_and_released(name)}
    for what, key in (("pyramid width", "width"), ("pyramid repeats", "layers"), ("head layers", "head")):
        assert round(rows[what].rule, 1) == RULE[key][NAMES[name]][0]
        assert rows[what].released == RULE[key][NAMES[name]][1]
    assert [rows["resolution"].rule, rows["resolution"].released] == RULE["resolution"][NAMES[name]]


def test_what_departs_is_told_in_words():
    assert [str(each) for each in departures("efficientdet_d7")] == [
        "backbone: B7 by the rule, B6 released",
        "pyramid width: 523 by the rule, 384 released",
        "pyramid repeats: 10 by the rule, 8 released",
        "resolution: 1408 by the rule, 1536 released",
        "anchor scale: 4 by the rule, 5 released",
        "fusion: fast by the rule, sum released",
    ]
    assert [str(each) for each in departures("tf_efficientdet_d2")] == [
        "pyramid width: 116.6 by the rule, 112 released"
    ]


def test_d7x_has_a_level_more_than_the_rule():
    assert "levels: P3 to P7 by the rule, P3 to P8 released" in map(str, departures("efficientdet_d7x"))


@pytest.mark.parametrize("name", ["efficientdet_d0", "efficientdet_d1", "efficientdet_d3"])
def test_rounding_alone_is_no_departure(name):
    assert departures(name) == ()


@pytest.mark.parametrize("name", [name for name in list_detectors() if "lite" in name])
def test_of_the_lite_ones_no_rule_was_published(name):
    assert rule_and_released(name) == ()


def test_an_unknown_name_is_refused():
    with pytest.raises(SpecError, match="no detector is called 'efficientdet_d8'"):
        departures("efficientdet_d8")


@pytest.mark.parametrize("name", NAMES)
def test_the_rule_makes_what_it_is_said_to_say(name):
    made = compound(detector("efficientdet_d0"), int(name[-1]))
    rows = {each.what: each.rule for each in rule_and_released(name)}
    assert made.pyramid.channels == pytest.approx(rows["pyramid width"], abs=4)
    assert (made.pyramid.repeats, made.heads.repeats) == (rows["pyramid repeats"], rows["head layers"])
    assert made.resolution == (rows["resolution"],) * 2


@pytest.mark.parametrize("name", MODELS)
def test_the_tables_are_the_released_configurations(name):
    config, made = MODELS[name]["config"], detector(name)
    assert made.resolution == (config["resolution"],) * 2
    assert (made.pyramid.channels, made.pyramid.repeats) == (config["bifpn_width"], config["bifpn_layers"])
    assert (made.heads.repeats, list(made.pyramid.levels)) == (config["head_layers"], config["levels"])
    assert (made.anchors.scale, made.pyramid.fusion) == (config["anchor_scale"], config["fusion"])
    assert made.backbone.name.removeprefix("tf_efficientnet_") == config["backbone"].lower()


@pytest.mark.parametrize("name", MODELS)
def test_anchors_are_as_many_as_released(name):
    made = detector(name)
    total, height = 0, made.resolution[0]
    for level in made.pyramid.level_numbers:
        total += made.anchors.per_location * (-(-height // 2**level)) ** 2
    key = name.removeprefix("efficientdet_").upper().replace("LITE", "Lite").replace("X", "x")
    assert total == golden("detection")["anchors"]["total"][key]
