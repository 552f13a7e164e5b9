"""What a user might write: a file with factories, and a file beside it that the first one imports."""

import torch

BLOCKS = '''
"""Blocks, as a user would keep them in a file of their own."""

from torch import nn


class Residual(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.first = nn.Sequential(
            nn.Conv2d(inside, outside, 3, stride, 1, bias=False), nn.BatchNorm2d(outside), nn.ReLU()
        )
        self.second = nn.Sequential(nn.Conv2d(outside, outside, 3, 1, 1, bias=False), nn.BatchNorm2d(outside))
        same = stride == 1 and inside == outside
        self.shortcut = nn.Identity() if same else nn.Conv2d(inside, outside, 1, stride, bias=False)

    def forward(self, x):
        return nn.functional.relu(self.second(self.first(x)) + self.shortcut(x))
'''

NETS = '''
import math

import torch
from blocks import Residual
from torch import nn


class Net(nn.Module):
    def __init__(self, lengths, channels, classes):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, channels, 3, 2, 1, bias=False), nn.BatchNorm2d(channels), nn.ReLU())
        self.stages, inside = nn.ModuleList(), channels
        for number, length in enumerate(lengths):
            blocks = []
            for position in range(length):
                blocks.append(Residual(inside, channels << number, 2 if position == 0 else 1))
                inside = channels << number
            self.stages.append(nn.Sequential(*blocks))
        self.dropout = nn.Dropout(0.1)
        self.fc = nn.Linear(inside, classes)

    def forward(self, x):
        x = self.stem(x)
        for stage in self.stages:
            x = stage(x)
        return self.fc(self.dropout(x.mean((2, 3))))


def plain():
    print("a line of the user's own")
    return Net((1, 2), 8, 1000)


def scalable(depth=1.0, width=1.0, num_classes=1000):
    return Net([math.ceil(depth * length) for length in (1, 2)], max(2, 2 * round(4 * width)), num_classes)


def width_only(*, width):
    return scalable(width=width)


def layers(depth=50):
    return scalable()


def text():
    return "resnet18"


def fails():
    return [][3]


def needs(planes):
    return Net((1, 1), planes, 10)


class Maps(nn.Module):
    """No classifier: it answers with feature maps."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)

    def forward(self, x):
        return self.conv(x)


class HardCoded(nn.Module):
    """Integers in its code name a width, so that nobody can scale it from outside."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1)
        self.fc = nn.Linear(8, 1000)

    def forward(self, x):
        return self.fc(self.conv(x).reshape(x.shape[0], 2, 8, *x.shape[2:]).mean((1, 3, 4)))


class Flat(nn.Module):
    """A view that works in the usual memory layout alone, tied weights, and no BatchNorm."""

    def __init__(self, num_classes=4):
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.again = self.first
        self.fc = nn.Linear(3 * 8 * 8, num_classes)

    def forward(self, x):
        x = nn.functional.adaptive_avg_pool2d(self.again(self.first(x)), 8)
        return self.fc((x * 1.0).view(x.shape[0], -1))


ready = Flat()
WIDTH = 64
'''


def write(folder):
    """The two files; returns the path of the one with the factories."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "blocks.py").write_text(BLOCKS)
    (folder / "nets.py").write_text(NETS)
    return folder / "nets.py"


def images(count=2, pixels=32):
    """Random images."""
    return torch.randn(count, 3, pixels, pixels, generator=torch.Generator().manual_seed(1))
