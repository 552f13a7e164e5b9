"""A network that trains in a second, and images for it."""

from images import make_folder
from triscale.spec.block import Block, Squeeze
from triscale.spec.network import Head, Network, Numerics, Stem, stage


def tiny_network(classes=3, resolution=(32, 32)):
    """Two stages, everything that a large one has: squeeze-excite, residual, drop connect, dropout."""
    return Network(
        name="tiny",
        stem=Stem(channels=8),
        stages=(
            stage(Block("mbconv", channels=8, squeeze=Squeeze(), expand=1)),
            stage(Block("mbconv", channels=16, stride=2, expand=2), repeats=1),
            stage(Block("mbconv", channels=16, stride=1, expand=2), repeats=1),
        ),
        head=Head(channels=32, dropout=0.2),
        resolution=resolution,
        classes=classes,
        numerics=Numerics("same", 1e-3, 0.01),
        drop_connect=0.2,
    )


def tiny_images(folder, train=24, val=6, test=0):
    """An image folder with these images of each of three classes; a split of 0 is left out."""
    splits = {"train": train, "val": val, "test": test}
    return make_folder(folder, classes=3, splits={name: count for name, count in splits.items() if count})
