"""Detectors as data: what one backbone costs with each pyramid, all equally wide and deep.

Run: python examples/detector_of_parts.py
"""

import triscale as ts
from triscale.spec.pyramids import PYRAMIDS

backbone = ts.network("efficientnet_lite0")
print(f"{'pyramid':>16}  {'MACs':>8}  {'parameters':>10}")
for name, make in PYRAMIDS.items():
    cost = ts.cost(ts.detector_from(backbone, make(64, 3, (3, 7), "fast", "relu6"), classes=20, resolution=320))
    print(f"{name:>16}  {cost.macs / 1e6:>7,.0f}M  {cost.params / 1e6:>9.2f}M")
