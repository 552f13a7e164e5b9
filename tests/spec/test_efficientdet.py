import pytest

from triscale.errors import SpecError
from triscale.spec.detector import Detector
from triscale.spec.families import network
from triscale.spec.families.efficientdet import (
    DETECTOR_ALIASES,
    detector,
    detector_from,
    detector_preprocessing,
    is_detector,
    list_detectors,
    own_detector_name,
)
from triscale.spec.network import Numerics
from triscale.spec.pyramids import bifpn

D = [f"efficientdet_{size}" for size in ("d0", "d1", "d2", "d3", "d4", "d5", "d6", "d7", "d7x")]
LITE = [f"efficientdet_lite{size}" for size in ("0", "1", "2", "3", "3x", "4")]


def test_the_names_are_those_of_the_ecosystem():
    assert list_detectors() == [*D, *LITE]
    assert {f"tf_{name}" for name in (*D, *LITE)} < set(DETECTOR_ALIASES)


@pytest.mark.parametrize("name", [*D, *LITE])
def test_released_detectors_have_googles_numerics_and_biases(name):
    made = detector(name)
    assert made.numerics == made.backbone.numerics == Numerics("same", 1e-3, 0.01)
    assert made.redundant_bias
    assert made.classes == 90
    assert made.fed_levels == (3, 4, 5)
    assert detector(f"tf_{name}") == made  # effdet's name for the same


def test_effdets_own_have_symmetric_padding_and_no_biases_before_batch_norm():
    own = detector("effdet_efficientdet_d0")
    assert own.backbone.numerics == Numerics("symmetric", 1e-5, 0.1)
    assert own.numerics == Numerics("symmetric", 1e-3, 0.01)
    assert not own.redundant_bias
    assert own_detector_name("effdet_efficientdet_d0") == "efficientdet_d0"


def test_effdets_own_d4_keeps_same_padding_and_biases_but_for_its_backbone():
    own = detector("effdet_efficientdet_d4")
    assert (own.numerics.padding, own.backbone.numerics.padding, own.redundant_bias) == ("same", "symmetric", True)


@pytest.mark.parametrize("name", LITE)
def test_lite_detectors_have_relu6_everywhere_plain_sums_and_no_squeeze_excite(name):
    made = detector(name)
    blocks = [placed.block for placed in made.backbone.placed_blocks()]
    activations = {made.pyramid.activation, made.heads.activation, *(block.activation for block in blocks)}
    assert activations == {"relu6"}
    assert made.pyramid.fusion == "sum"
    assert not any(block.squeeze for block in blocks)


def test_photographs_are_letterboxed_bilinear_and_normalised_as_the_owner_does():
    d0, lite0 = detector_preprocessing("efficientdet_d0"), detector_preprocessing("efficientdet_lite0")
    assert (d0.size, d0.fit, d0.interpolation, d0.fill) == ((512, 512), "letterbox", "bilinear", None)
    assert (d0.mean, d0.std) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    assert [255 * value for value in (*lite0.mean, *lite0.std)] == pytest.approx([127] * 3 + [128] * 3)
    assert detector_preprocessing("tf_efficientdet_lite0").mean == (0.5, 0.5, 0.5)
    assert detector_preprocessing("tf_efficientdet_d0_ap").fill == 0.0


@pytest.mark.parametrize("name", ["resnet50", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "efficientnetv2_s"])
def test_any_network_with_maps_at_8_16_and_32_is_a_backbone(name):
    made = detector_from(network(name), bifpn(32, 2), classes=3, resolution=(224, 352))
    assert isinstance(made, Detector)
    assert (made.fed_levels, made.resolution, made.backbone.head) == ((3, 4, 5), (224, 352), None)
    assert made.numerics.padding == network(name).numerics.padding
    assert made.name == f"{name}-bifpn"


def test_an_unknown_detector_is_answered_with_the_nearest():
    assert not is_detector("efficientdet-d0")
    with pytest.raises(SpecError, match="no detector is called 'efficientdet-d0'; did you mean efficientdet_d0"):
        detector("efficientdet-d0")
