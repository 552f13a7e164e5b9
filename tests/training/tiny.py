"""A network that trains in a second, and images for it."""

import torch
from torch import nn

from images import make_folder
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.models.assembler import ConvNet
from triscale.modules.plain import Origin, PlainModel
from triscale.spec.block import Block, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stem, stage
from triscale.spec.preprocessing import Preprocessing
from triscale.training.loop import train
from triscale.training.recipe import Recipe


def tiny_network(classes=3, channels=16):
    """Two stages, everything that a large one has: squeeze-excite, residual, drop connect, dropout."""
    return Network(
        name="tiny",
        stem=Stem(channels=8),
        stages=(
            stage(Block("mbconv", channels=8, squeeze=Squeeze(), expand=1)),
            stage(Block("mbconv", channels=channels, stride=2, expand=2)),
            stage(Block("mbconv", channels=channels, expand=2)),
        ),
        head=Head(channels=32, dropout=0.2),
        resolution=(32, 32),
        classes=classes,
        numerics=Numerics("same", 1e-3, 0.01),
        drop_connect=0.2,
    )


def tiny_images(folder, train=24, val=6, test=0):
    """An image folder with these images of each of three classes; a split of 0 is left out."""
    splits = {"train": train, "val": val, "test": test}
    return make_folder(folder, classes=3, splits={name: count for name, count in splits.items() if count})


def tiny_model(classes=3, channels=16):
    """The network with weights from a seed."""
    torch.manual_seed(0)
    return ConvNet(tiny_network(classes, channels))


class Own(nn.Module):
    """What a user may write: parts with names of their own, and a parameter that is in none of them."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, 8, 1, 1))
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.last = nn.Linear(8, 3)

    def forward(self, x):
        return self.last(self.pool(self.scale * self.body(x)))


def plain_model():
    """A user's module with weights from a seed."""
    torch.manual_seed(0)
    return PlainModel(Own(), Preprocessing(size=(32, 32)), Origin(outputs=3))


def train_tiny(images, folder, model=None, progress=None, **settings):
    """Train it on these images; 36 steps unless `settings` of the recipe say otherwise."""
    given = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "augmentation": Augmentation(crop_area=(0.6, 1.0))}
    return train(model or tiny_model(), read_dataset(images), Recipe(**given | settings), folder, progress)
