"""Modules that nobody described to triscale, as a user would write them."""

import torch
from torch import nn
from torch.nn import functional

from tests import peers

SIZE = 32


def image(channels=3, size=SIZE, batch=1, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, channels, size, size, generator=generator)


def conv_norm(read, made, kernel=3, stride=1, groups=1):
    return nn.Sequential(
        nn.Conv2d(read, made, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(made), nn.ReLU()
    )


class VGG(nn.Module):
    """One flat nn.Sequential of convolutions and pools, and a classifier that flattens a map."""

    def __init__(self, rows=((16, 2), (32, 2), (64, 3)), classes=10):
        super().__init__()
        layers, read = [], 3
        for channels, repeats in rows:
            for _ in range(repeats):
                layers += [nn.Conv2d(read, channels, 3, padding=1), nn.ReLU(inplace=True)]
                read = channels
            layers.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*layers)
        self.pool = nn.AdaptiveAvgPool2d(2)
        self.classifier = nn.Sequential(nn.Linear(4 * read, 96), nn.ReLU(), nn.Dropout(), nn.Linear(96, classes))

    def forward(self, x):
        return self.classifier(torch.flatten(self.pool(self.features(x)), 1))


class DenseLayer(nn.Module):
    def __init__(self, read, growth):
        super().__init__()
        self.norm1, self.reduce = nn.BatchNorm2d(read), nn.Conv2d(read, 4 * growth, 1, bias=False)
        self.norm2, self.convolve = nn.BatchNorm2d(4 * growth), nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x):
        y = self.reduce(functional.relu(self.norm1(x)))
        return torch.cat([x, self.convolve(functional.relu(self.norm2(y)))], dim=1)


class Dense(nn.Module):
    """Blocks that concatenate what they make to what they read, with halving transitions (DenseNet)."""

    def __init__(self, growth=8, lengths=(2, 3), classes=10):
        super().__init__()
        self.stem, channels = conv_norm(3, 2 * growth, stride=2), 2 * growth
        self.blocks = nn.ModuleList()
        for number, length in enumerate(lengths):
            layers = [DenseLayer(channels + index * growth, growth) for index in range(length)]
            channels += length * growth
            if number < len(lengths) - 1:
                layers += [conv_norm(channels, channels // 2, 1), nn.AvgPool2d(2)]
                channels //= 2
            self.blocks.append(nn.Sequential(*layers))
        self.norm, self.classifier = nn.BatchNorm2d(channels), nn.Linear(channels, classes)

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = block(x)
        return self.classifier(functional.adaptive_avg_pool2d(functional.relu(self.norm(x)), 1).flatten(1))


class GroupedBlock(nn.Module):
    """1x1, grouped 3x3 with groups of 8 channels, depthwise 5x5, 1x1; a residual where the shape stays."""

    def __init__(self, read, made, stride=1):
        super().__init__()
        self.reduce = conv_norm(read, made, 1)
        self.grouped = conv_norm(made, made, 3, stride, groups=made // 8)
        self.depthwise = conv_norm(made, made, 5, groups=made)
        self.restore = nn.Sequential(nn.Conv2d(made, made, 1, bias=False), nn.GroupNorm(4, made))
        self.residual = stride == 1 and read == made

    def forward(self, x):
        y = self.restore(self.depthwise(self.grouped(self.reduce(x))))
        return functional.relu(x + y if self.residual else y)


class Grouped(nn.Module):
    """Grouped and depthwise convolutions, GroupNorm, and stages in a list."""

    def __init__(self, rows=((24, 1, 2), (48, 2, 3), (96, 2, 2)), classes=10):
        super().__init__()
        self.stem, read, stages = conv_norm(3, 16, stride=2), 16, []
        for channels, stride, length in rows:
            blocks = [GroupedBlock(read, channels, stride)]
            blocks += [GroupedBlock(channels, channels) for _ in range(length - 1)]
            stages.append(nn.Sequential(*blocks))
            read = channels
        self.stages, self.head = nn.ModuleList(stages), nn.Linear(read, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.head(x.mean((2, 3)))


def resnet():
    """torchvision's ResNet-18."""
    return peers.torchvision().models.resnet18(weights=None, num_classes=10)


def timms(name):
    """A function that makes one of timm's networks with ten classes."""
    return lambda: peers.timm().create_model(name, num_classes=10)


# The eight kinds of the acceptance list.
KINDS = {
    "resnet": resnet,
    "mobilenetv3": timms("mobilenetv3_small_100"),
    "efficientnet": timms("efficientnet_b0"),
    "convnext": timms("convnext_atto"),
    "regnet": timms("regnety_002"),
    "vgg": VGG,
    "dense": Dense,
    "grouped": Grouped,
}
