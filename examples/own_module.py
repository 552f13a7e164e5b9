"""A module that nobody described, wider, deeper, and inside a budget: the one you gave is left as it was.

Run: python examples/own_module.py
"""

import torch
from torch import nn

import triscale as ts


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            nn.BatchNorm2d(channels),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of equal shape."""
        return torch.relu(x + self.body(x))


module = nn.Sequential(
    nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(16),
    nn.ReLU(),
    Residual(16),
    Residual(16),
    nn.Conv2d(16, 32, 3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(32),
    nn.ReLU(),
    Residual(32),
    Residual(32),
    nn.AdaptiveAvgPool2d(1),
    nn.Flatten(),
    nn.Linear(32, 10),
)
images = torch.randn(1, 3, 64, 64)
larger = ts.scale_module(module, images, depth=1.5, width=1.25)
print(ts.scaling_report(larger))
inside = ts.scale_module(module, images, to="macs<=10M")
for name, each in (("yours", module), ("deeper and wider", larger), ("inside 10M MACs", inside)):
    macs, shape = ts.module_cost(each, images).macs, tuple(each(images).shape)
    print(f"{name:>17}: {macs:>10,} multiply-accumulates, answers {shape}")
