"""A detector that trains in seconds, and images with boxes for it."""

import numpy as np
import torch
from PIL import Image

from triscale.data.detection.augment import BoxAugmentation
from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.detection.detector import DetectorNet
from triscale.spec.block import Block, Squeeze
from triscale.spec.detector import Anchors, Detector, Heads
from triscale.spec.network import Network, Numerics, Stem, stage
from triscale.spec.pyramids import bifpn
from triscale.training.detection.settings import DetectionSettings
from triscale.training.loop import train
from triscale.training.recipe import Recipe

SIDE = 64
CLASSES = ("red", "blue")
COLOURS = ((220, 60, 40), (40, 70, 220))


def tiny_detector(classes=2):
    """A backbone with maps at strides 8 and 16, one BiFPN over three levels, heads of one convolution."""
    small = Block("mbconv", channels=8, stride=2, expand=1)
    backbone = Network(
        name="tiny",
        stem=Stem(channels=8),
        stages=(
            stage(small),
            stage(Block("mbconv", channels=16, stride=2, expand=2, squeeze=Squeeze())),
            stage(Block("mbconv", channels=24, stride=2, expand=2)),
        ),
        head=None,
        resolution=(SIDE, SIDE),
        numerics=Numerics("same", 1e-3, 0.01),
    )
    pyramid = bifpn(levels=(3, 5), channels=16, repeats=1)
    return Detector("tiny", backbone, pyramid, Heads(repeats=1), Anchors(scale=2.0), classes=classes)


def tiny_model(classes=2):
    """The detector with weights from a seed."""
    torch.manual_seed(0)
    return DetectorNet(tiny_detector(classes))


def tiny_set(folder, train=24, val=8, test=0, empty=4, size=(64, 80)):
    """Images of grey noise with zero to three coloured rectangles; every `empty`-th has none."""
    folder.mkdir(parents=True, exist_ok=True)
    dice = np.random.default_rng(0)
    made = {
        name: tuple(_sample(folder / f"{name}{n:03}.png", dice, size, n % empty == empty - 1) for n in range(count))
        for name, count in (("train", train), ("val", val), ("test", test))
    }
    return BoxDataset(folder, CLASSES, **made, fingerprint="tiny")


def _sample(path, dice, size, is_empty):
    pixels = dice.integers(90, 150, (*size, 3)).astype(np.uint8)
    boxes = []
    for _ in range(0 if is_empty else int(dice.integers(1, 4))):
        height, width = (int(each) for each in dice.integers(12, 30, 2))
        top, left = int(dice.integers(0, size[0] - height)), int(dice.integers(0, size[1] - width))
        box = (left, top, left + width, top + height)
        if any(_touch(box, other) for other in boxes):
            continue
        label = int(dice.integers(2))
        pixels[top : top + height, left : left + width] = COLOURS[label]
        boxes.append(BoxLabel(*map(float, box), label))
    Image.fromarray(pixels).save(path)
    return BoxSample(path, size, tuple(boxes))


def _touch(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


SETTLED = BoxAugmentation(scale=(1.0, 1.0), flip=0.0)


def train_tiny(dataset, folder, model=None, progress=None, augmentation=None, **settings):
    """Train it on these images; 12 steps unless `settings` of the recipe say otherwise."""
    given = {"epochs": 4, "batch_size": 8, "learning_rate": 0.02, "clip": 10.0, "warmup_epochs": 0.5}
    chosen = DetectionSettings(augmentation=augmentation or BoxAugmentation(scale=(0.8, 1.25)))
    return train(model or tiny_model(), dataset, Recipe(**{"detection": chosen} | given | settings), folder, progress)
