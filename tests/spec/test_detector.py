from dataclasses import replace

import pytest

from triscale.errors import SpecError
from triscale.spec.detector import RELEASED_ASPECTS, Anchors, Detector, Heads
from triscale.spec.families import network
from triscale.spec.families.efficientdet import detector
from triscale.spec.pyramids import bifpn
from triscale.spec.suppression import Suppression

D0 = detector("efficientdet_d0")


def test_a_detector_says_what_it_is():
    assert str(D0) == "efficientdet_d0: tf_efficientnet_b0, bifpn 64 x 3, 512 x 512 px, 90 classes"
    assert (D0.resolution, D0.in_channels) == ((512, 512), 3)


def test_two_detectors_that_differ_only_in_name_are_equal():
    assert replace(D0, name="other") == D0
    assert len({D0, replace(D0, name="other")}) == 1
    assert replace(D0, classes=3) != D0


def test_a_pyramid_is_fed_from_every_level_that_the_backbone_has():
    headless = D0.backbone
    assert D0.fed_levels == (3, 4, 5)
    assert Detector("a", headless, bifpn(8, levels=(2, 6))).fed_levels == (2, 3, 4, 5)
    assert Detector("b", headless, bifpn(8, levels=(4, 5))).fed_levels == (4, 5)


def test_a_backbone_with_a_head_or_without_such_a_map_is_refused():
    with pytest.raises(SpecError, match="Detector 'x': its backbone has a head; take one without"):
        Detector("x", network("efficientnet_b0"), bifpn(8))
    with pytest.raises(
        SpecError, match=r"tf_efficientnet_b0 has no map at a stride of 2\^6 to 2\^7; it has strides 2, 4"
    ):
        Detector("x", D0.backbone, bifpn(8, levels=(6, 7)))


def test_anchors_are_scales_times_aspects():
    assert Anchors().per_location == 9
    assert Anchors().aspects == RELEASED_ASPECTS == ((1.0, 1.0), (1.4, 0.7), (0.7, 1.4))
    assert Anchors(octaves=(0.0, 0.5)).per_location == 6


@pytest.mark.parametrize(
    ("kind", "wrong", "message"),
    [
        (Anchors, {"scale": 0}, "Anchors.scale must be a number above 0"),
        (Anchors, {"octaves": ()}, "Anchors has 0 boxes at each location; 1..64 are allowed"),
        (Anchors, {"octaves": (0.0,) * 22}, "Anchors has 66 boxes at each location"),
        (Anchors, {"octaves": (17,)}, "Anchors.octaves must be exponents of 2 in -16..16, got 17"),
        (Anchors, {"octaves": (float("nan"),)}, "Anchors.octaves must be exponents of 2"),
        (Anchors, {"octaves": 3}, "Anchors.octaves are numbers, and aspects pairs"),
        (Anchors, {"aspects": ((1.0,),)}, "Anchors.octaves are numbers, and aspects pairs"),
        (Anchors, {"aspects": ((1.0, -1.0),)}, "Anchors.aspects must be a number above 0"),
        (Heads, {"repeats": 0}, "Heads.repeats must be a whole number in 1..64, got 0"),
        (Heads, {"activation": "tanh"}, "Heads.activation must be one of silu"),
        (Heads, {"prior": 0.6}, "Heads.prior must be a number above 0 and at most 0.5"),
        (Suppression, {"method": "wbf"}, "Suppression.method"),
        (Suppression, {"iou": 1.5}, "Suppression.iou must be in 0..1, got 1.5"),
        (Suppression, {"sigma": 0}, "Suppression.sigma must be above 0 and at most 100, got 0"),
        (Suppression, {"detections": 0}, "Suppression.detections must be a whole number"),
    ],
)
def test_parts_that_cannot_be_are_refused(kind, wrong, message):
    with pytest.raises(SpecError, match=message):
        kind(**wrong)
