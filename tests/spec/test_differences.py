import pytest

from triscale.errors import SpecError
from triscale.spec.differences import differences, forms
from triscale.spec.network import Numerics


def test_b0_has_three_owners_with_their_numerics():
    assert {form.owner: form.numerics for form in forms("efficientnet_b0")} == {
        "timm": Numerics("symmetric", 1e-5, 0.1),
        "Google": Numerics("same", 1e-3, 0.01),
        "torchvision": Numerics("symmetric", 1e-5, 0.1),
    }


@pytest.mark.parametrize("name", ["tf_efficientnet_b0", "efficientnet_b0.ra_in1k", "tf_efficientnet_b0_ns"])
def test_every_name_of_a_network_has_the_same_owners(name):
    assert forms(name) == forms("efficientnet_b0")


def test_what_differs_is_said_in_words_and_owners_that_agree_are_named_together():
    assert differences("efficientnet_b5")[:3] == (
        "padding: timm and torchvision symmetric, Google same",
        "BatchNorm eps: timm 1e-05, Google and torchvision 0.001",
        "BatchNorm momentum: timm 0.1, Google and torchvision 0.01",
    )
    assert "photograph: timm and Google squashed to a square, torchvision central square" in differences(
        "efficientnetv2_m"
    )
    assert "evaluation size: torchvision 224 px, timm 288 px" in differences("resnet50")
    assert "photograph: timm and torchvision central square, Google squashed to a square" in differences(
        "efficientnetv2_s"
    )
    assert "evaluation size: timm 300 px, Google 280 px" in differences("efficientnet_lite3")
    assert "evaluation size: timm 380 px, Google 300 px" in differences("tf_efficientnet_lite4")
    assert "highest top-1: timm 74.672 %, torchvision 73.456 %" in differences("mnasnet_b1")


def test_a_network_of_one_owner_has_no_differences():
    assert len(forms("tf_mobilenetv3_large_minimal_100")) == len(forms("detnas_coco_fpn_300m")) == 1
    assert differences("tf_mobilenetv3_large_minimal_100") == differences("detnas_coco_fpn_300m") == ()


def test_an_unknown_name_is_refused():
    with pytest.raises(SpecError, match="no network is called 'b0'"):
        forms("b0")
