"""Published ImageNet accuracies of the networks: every one with whose it is and which weights it belongs to.

Figures of papers and of owners' pages are as printed there; timm's are its own measurements of the weights that it has
(results/results-imagenet.csv), torchvision's those in its weights' metadata. None was measured here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

Source = Literal[
    "EfficientNet paper", "EfficientNetV2 paper", "MnasNet paper", "OFA paper", "Google", "timm", "torchvision"
]

SOURCES: dict[Source, str] = {
    "EfficientNet paper": "https://arxiv.org/abs/1905.11946v5, tables 2 and 3",
    "EfficientNetV2 paper": "https://arxiv.org/abs/2104.00298v3, table 7",
    "MnasNet paper": "https://arxiv.org/abs/1807.11626, section 6.1",
    "OFA paper": "https://arxiv.org/abs/1908.09791, table 1, which quotes it",
    "Google": "README of tensorflow/tpu efficientnet (lite, edgetpu) and google/automl efficientnetv2",
    "timm": "huggingface/pytorch-image-models, results/results-imagenet.csv",
    "torchvision": "torchvision 0.28.0, metadata of its weights",
}


class Figure(NamedTuple):
    """One published accuracy on ImageNet's validation set.

    top1, top5: per cent; top5 None where the source gives none. weights: which of the source's weights, in its words.
    pixels: of a side at evaluation, where it is not the network's resolution. extra: trained on more than ImageNet-1k.
    """

    top1: float
    source: Source
    weights: str
    top5: float | None = None
    pixels: int | None = None
    extra: bool = False

    @property
    def of(self) -> str:
        """Which weights, and where they were evaluated: "tf_ in1k at 380 px"."""
        return f"{self.weights} at {self.pixels} px" if self.pixels else self.weights


# Training recipes of V1, in the order of the columns below
RECIPES = ("baseline", "AutoAugment", "RandAugment", "AdvProp", "NoisyStudent")
Column = tuple[float | None, float | None, float | None, float | None, float | None]

#                   paper: top-1, top-5      Google                             timm
V1: dict[str, tuple[tuple[float, float] | None, Column, Column]] = {
    "efficientnet_b0": ((77.1, 93.3), (76.7, 77.1, None, 77.6, 78.8), (76.542, 76.882, None, 77.1, 78.68)),
    "efficientnet_b1": ((79.1, 94.4), (78.7, 79.1, None, 79.6, 81.5), (78.546, 78.84, None, 79.288, 81.388)),
    "efficientnet_b2": ((80.1, 94.9), (79.8, 80.1, None, 80.5, 82.4), (79.612, 80.074, None, 80.3, 82.412)),
    "efficientnet_b3": ((81.6, 95.7), (81.1, 81.6, None, 81.9, 84.1), (80.878, 81.648, None, 81.842, 84.054)),
    "efficientnet_b4": ((82.9, 96.4), (82.5, 82.9, None, 83.3, 85.3), (82.598, 83.04, None, 83.246, 85.156)),
    "efficientnet_b5": ((83.6, 96.7), (83.1, 83.6, 83.7, 84.3, 86.1), (83.17, 83.696, 83.834, 84.258, 86.096)),
    "efficientnet_b6": ((84.0, 96.8), (None, 84.0, None, 84.8, 86.4), (None, 84.124, None, 84.794, 86.476)),
    "efficientnet_b7": ((84.3, 97.0), (None, 84.3, 84.7, 85.2, 86.9), (None, 84.424, 84.926, 85.132, 86.85)),
    "efficientnet_b8": (None, (None, None, None, 85.5, None), (None, None, 85.344, 85.358, None)),
    "efficientnet_l2": (None, (None, None, None, None, 88.4), (None, None, None, None, 88.36)),
}

# Google: float and int8; timm: the same weights at its own size, then trained anew
LITE = {
    "efficientnet_lite0": (75.1, 74.4, 74.846, None),
    "efficientnet_lite1": (76.7, 75.9, 76.674, None),
    "efficientnet_lite2": (77.6, 77.0, 77.47, None),
    "efficientnet_lite3": (79.8, 79.0, 79.808, 300),
    "efficientnet_lite4": (81.5, 80.2, 81.54, 380),
}
EDGETPU = {
    "efficientnet_edgetpu_s": (77.23, 77.0, 76.608, 78.1),
    "efficientnet_edgetpu_m": (78.69, 78.6, 78.128, 79.256),
    "efficientnet_edgetpu_l": (80.62, 80.2, 80.246, 81.308),
}

# ImageNet-1k alone, then pretrained on ImageNet-21k: (paper), (Google), (timm)
Pair = tuple[float | None, float | None]
V2: dict[str, tuple[Pair, Pair, Pair]] = {
    "efficientnetv2_b0": ((None, None), (78.7, None), (78.386, None)),
    "efficientnetv2_b1": ((None, None), (79.8, None), (79.518, None)),
    "efficientnetv2_b2": ((None, None), (80.5, None), (80.226, None)),
    "efficientnetv2_b3": ((None, None), (82.1, None), (81.96, 82.634)),
    "efficientnetv2_s": ((83.9, 84.9), (83.9, 84.9), (83.9, 84.332)),
    "efficientnetv2_m": ((85.1, 86.2), (85.2, 86.2), (85.208, 86.014)),
    "efficientnetv2_l": ((85.7, 86.8), (85.7, 86.9), (85.66, 86.802)),
    "efficientnetv2_xl": ((None, 87.3), (None, 87.2), (None, 86.754)),
}

# (top-1, top-5) of IMAGENET1K_V1 and V2
TORCHVISION: dict[str, tuple[tuple[float, float], ...]] = {
    "efficientnet_b0": ((77.692, 93.532),),
    "efficientnet_b1": ((78.642, 94.186), (79.838, 94.934)),
    "efficientnet_b2": ((80.608, 95.31),),
    "efficientnet_b3": ((82.008, 96.054),),
    "efficientnet_b4": ((83.384, 96.594),),
    "efficientnet_b5": ((83.444, 96.628),),
    "efficientnet_b6": ((84.008, 96.916),),
    "efficientnet_b7": ((84.122, 96.908),),
    "efficientnetv2_s": ((84.228, 96.878),),
    "efficientnetv2_m": ((85.112, 97.156),),
    "efficientnetv2_l": ((85.808, 97.788),),
    "mobilenet_v2": ((71.878, 90.286), (72.154, 90.822)),
    "mobilenet_v3_large": ((74.042, 91.34), (75.274, 92.566)),
    "mobilenet_v3_small": ((67.668, 87.402),),
    "mnasnet_050": ((67.734, 87.49),),
    "mnasnet_075": ((71.18, 90.496),),
    "mnasnet_b1": ((73.456, 91.51),),
    "mnasnet1_3": ((76.506, 93.522),),
    "resnet18": ((69.758, 89.078),),
    "resnet34": ((73.314, 91.42),),
    "resnet50": ((76.13, 92.862), (80.858, 95.434)),
    "resnet101": ((77.374, 93.546), (81.886, 95.78)),
    "resnet152": ((78.312, 94.046), (82.284, 96.002)),
    "wide_resnet50_2": ((78.468, 94.086), (81.602, 95.758)),
    "wide_resnet101_2": ((78.848, 94.284), (82.51, 96.02)),
}
TORCHVISION_PIXELS = {"efficientnet_b2": 288}

OTHERS: dict[str, tuple[Figure, ...]] = {
    "efficientnet_l2": (
        Figure(88.2, "Google", "NoisyStudent", pixels=475, extra=True),
        Figure(88.246, "timm", "NoisyStudent", pixels=475, extra=True),
    ),
    "mobilenet_v1": (Figure(70.6, "EfficientNet paper", "as quoted"), Figure(75.388, "timm", "ra4_e3600_r224_in1k")),
    "mobilenet_v2": (Figure(72.0, "EfficientNet paper", "as quoted"), Figure(72.91, "timm", "ra_in1k")),
    "mobilenet_v3_large": (
        Figure(75.2, "OFA paper", "as quoted"),
        Figure(75.51, "timm", "tf_ in1k"),
        Figure(75.784, "timm", "ra_in1k"),
    ),
    "mnasnet_a1": (Figure(75.2, "MnasNet paper", "A1", 92.5), Figure(75.452, "timm", "rmsp_in1k")),
    "mnasnet_b1": (Figure(74.672, "timm", "rmsp_in1k"),),
    "resnet50": (Figure(76.0, "EfficientNet paper", "as quoted", 93.0),),
}


def figures(name: str) -> tuple[Figure, ...]:
    """Every published accuracy of a network, papers first; empty where there is none.

    name: ours, of either numerics ("tf_efficientnet_b0" and "efficientnet_b0" are one network).
    """
    return tuple(_figures(name.removeprefix("tf_")))


def best(name: str) -> Figure | None:
    """The highest published top-1, whatever the weights were trained on; None where none is published."""
    return max(figures(name), key=lambda figure: figure.top1, default=None)


def _figures(name: str) -> Iterator[Figure]:
    if name in V1:
        paper, *owners = V1[name]
        if paper is not None:
            yield Figure(paper[0], "EfficientNet paper", "AutoAugment", paper[1])
        for source, column in zip(("Google", "timm"), owners, strict=True):
            for recipe, top1 in zip(RECIPES, column, strict=True):
                if top1 is not None:
                    yield Figure(top1, source, recipe, extra=recipe == "NoisyStudent")
    if name in V2:
        for source, pair in zip(("EfficientNetV2 paper", "Google", "timm"), V2[name], strict=True):
            for weights, top1 in zip(("ImageNet-1k", "ImageNet-21k, then 1k"), pair, strict=True):
                if top1 is not None:
                    yield Figure(top1, source, weights, extra=weights != "ImageNet-1k")
    if name in LITE:
        plain, int8, timms, pixels = LITE[name]
        yield from (Figure(plain, "Google", "float"), Figure(int8, "Google", "int8"))
        yield Figure(timms, "timm", "tf_ in1k", pixels=pixels)
    if name in EDGETPU:
        plain, int8, timms, anew = EDGETPU[name]
        yield from (Figure(plain, "Google", "float"), Figure(int8, "Google", "int8"))
        yield from (Figure(timms, "timm", "tf_ in1k"), Figure(anew, "timm", "trained anew"))
    yield from OTHERS.get(name, ())
    for number, (top1, top5) in enumerate(TORCHVISION.get(name, ()), start=1):
        yield Figure(top1, "torchvision", f"IMAGENET1K_V{number}", top5, TORCHVISION_PIXELS.get(name))
