"""A network that trains in a second, and images for it."""

import torch

from images import make_folder
from triscale.data.augment import Augmentation
from triscale.data.dataset import Dataset, read_dataset
from triscale.models.assembler import ConvNet
from triscale.spec.block import Block, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stem, stage
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


def train_tiny(images, folder, model=None, progress=None, teacher=None, **settings):
    """Train it on these images (a folder or a Dataset); 36 steps unless `settings` of the recipe say otherwise."""
    given = {"epochs": 4, "batch_size": 8, "learning_rate": 0.05, "augmentation": Augmentation(crop_area=(0.6, 1.0))}
    dataset = images if isinstance(images, Dataset) else read_dataset(images)
    return train(model or tiny_model(), dataset, Recipe(**given | settings), folder, progress, teacher)
