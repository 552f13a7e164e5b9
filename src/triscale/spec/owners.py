"""What the owners of published weights compute with, and how they read photographs.

Source: tensorflow/tpu and google/automl (hparams.py, preprocessing.py); timm 1.0.31; torchvision 0.28.0 (its weights).
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from triscale.spec.network import Numerics
from triscale.spec.preprocessing import Interpolation, Preprocessing

Owner = Literal["Google", "timm", "torchvision", "Megvii"]

GOOGLE = Numerics("same", 1e-3, 0.01)
GOOGLE_V2 = Numerics("same", 1e-3, 0.1)  # TensorFlow's 0.9: google/automl efficientnetv2/hparams.py
TIMM = Numerics("symmetric", 1e-5, 0.1)
TORCHVISION = Numerics("symmetric", 1e-5, 0.1)
TORCHVISION_MOBILE = Numerics("symmetric", 1e-3, 0.01)  # MobileNetV3 and EfficientNet-B5 to B7
TORCHVISION_V2 = Numerics("symmetric", 1e-3, 0.1)
TORCHVISION_MNASNET = Numerics("symmetric", 1e-5, 1 - 0.9997)

HALF = (0.5, 0.5, 0.5)
IMAGENET = Preprocessing()
IMAGENET_BILINEAR = Preprocessing(interpolation="bilinear")
AROUND_127 = Preprocessing(mean=(127 / 255,) * 3, std=(128 / 255,) * 3)  # (x - 127) / 128 of 0..255
AROUND_128 = Preprocessing(mean=(128 / 255,) * 3, std=(128 / 255,) * 3, interpolation="bilinear")
AROUND_HALF = Preprocessing(mean=HALF, std=HALF)
AROUND_HALF_BILINEAR = Preprocessing(mean=HALF, std=HALF, interpolation="bilinear")


class Reading(NamedTuple):
    """How an owner evaluates a network: its numerics; pixels of the short side, then of the centre that it keeps."""

    numerics: Numerics
    resize: int
    pixels: int
    interpolation: Interpolation = "bilinear"
    half: bool = False  # mean and deviation 0.5, not ImageNet's
    squash: bool = False  # the whole photograph, not its centre

    @property
    def preprocessing(self) -> Preprocessing:
        """The same as data."""
        base = AROUND_HALF if self.half else IMAGENET
        return Preprocessing(
            size=(self.pixels, self.pixels),
            mean=base.mean,
            std=base.std,
            interpolation=self.interpolation,
            fit="squash" if self.squash else "crop",
            crop=round(self.pixels / self.resize, 4),
        )


# By our name; of the weights that torchvision lists first
TORCHVISION_READS = {
    "efficientnet_b0": Reading(TORCHVISION, 256, 224, "bicubic"),
    "efficientnet_b1": Reading(TORCHVISION, 256, 240, "bicubic"),
    "efficientnet_b2": Reading(TORCHVISION, 288, 288, "bicubic"),
    "efficientnet_b3": Reading(TORCHVISION, 320, 300, "bicubic"),
    "efficientnet_b4": Reading(TORCHVISION, 384, 380, "bicubic"),
    "efficientnet_b5": Reading(TORCHVISION_MOBILE, 456, 456, "bicubic"),
    "efficientnet_b6": Reading(TORCHVISION_MOBILE, 528, 528, "bicubic"),
    "efficientnet_b7": Reading(TORCHVISION_MOBILE, 600, 600, "bicubic"),
    "efficientnetv2_s": Reading(TORCHVISION_V2, 384, 384),
    "efficientnetv2_m": Reading(TORCHVISION_V2, 480, 480),
    "efficientnetv2_l": Reading(TORCHVISION_V2, 480, 480, "bicubic", half=True),
    "mobilenet_v2": Reading(TORCHVISION, 256, 224),
    "mobilenet_v3_large": Reading(TORCHVISION_MOBILE, 256, 224),
    "mobilenet_v3_small": Reading(TORCHVISION_MOBILE, 256, 224),
    "mnasnet_050": Reading(TORCHVISION_MNASNET, 256, 224),
    "mnasnet_075": Reading(TORCHVISION_MNASNET, 232, 224),
    "mnasnet_b1": Reading(TORCHVISION_MNASNET, 256, 224),
    "mnasnet1_3": Reading(TORCHVISION_MNASNET, 232, 224),
    **{
        name: Reading(TORCHVISION, 256, 224)
        for name in (
            "resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"
        )
    },
}  # fmt: skip

# timm's readings of names that it shares, and of Google's weights: of those that it lists first
TIMM_READS = {
    "efficientnet_lite3": Reading(TIMM, 332, 300, half=True),
    "efficientnet_lite4": Reading(TIMM, 413, 380, half=True),
    "efficientnetv2_s": Reading(TIMM, 384, 384, "bicubic", half=True),
    "efficientnetv2_m": Reading(TIMM, 480, 480, "bicubic", half=True, squash=True),
    "efficientnetv2_l": Reading(TIMM, 480, 480, "bicubic", half=True, squash=True),
    "efficientnetv2_xl": Reading(TIMM, 512, 512, "bicubic", half=True, squash=True),
    **{f"resnet{layers}": Reading(TIMM, 288, 288, "bicubic") for layers in (18, 34, 50, 101, 152)},
    "wide_resnet50_2": Reading(TIMM, 303, 288, "bicubic"),
    "wide_resnet101_2": Reading(TIMM, 256, 224),
}
