"""A device by arithmetic: what its layers and networks take is known, and so is how its speed changes."""

import math
import random

from triscale.deployment.drift import Moment
from triscale.deployment.latency import Latency
from triscale.deployment.layers import layers_of, work
from triscale.deployment.table import LatencyTable

REFERENCE_MS = 2.0
PRICES = (0.02, 0.05, 0.01, 0.03, 0.01, 0.004)  # ms for each of what `work` counts
CALL_MS = 0.02  # of every run, which no layer knows


def layer_ms(layer):
    return sum(price * amount for price, amount in zip(PRICES, work(layer), strict=True))


class FakeDevice:
    """Times layers and networks without running them.

    bias: by how much networks take longer than their layers. noise: of every measurement. slow: by how much it is
    slower at every second moment.
    """

    def __init__(self, bias=1.0, noise=0.0, slow=1.0, seed=0):
        self.bias, self.noise, self.slow = bias, noise, slow
        self.draw = random.Random(seed)
        self.layers, self.networks = [], []
        self.now = 0

    def speed(self):
        return self.slow if self.now // 8 % 2 else 1.0

    def clock(self):
        self.now += 1
        ms = REFERENCE_MS * self.speed()
        return Moment(ms, ms, 1e9 + self.now)

    def timer(self, layer):
        self.layers.append(layer)
        return layer_ms(layer) * self.speed()

    def network_ms(self, network):
        """What it takes at full speed, without noise."""
        return self.bias * sum(map(layer_ms, layers_of(network))) + CALL_MS

    def latency(self, network):
        self.networks.append(network)
        ms = self.network_ms(network) * self.speed()
        noise = [math.exp(self.draw.gauss(0, self.noise)) for _ in range(3)]
        return Latency(tuple(ms * each for each in noise), 50, "onnxruntime", "1.0", "fp32", 2, "a processor")

    def table(self, folder, **changes):
        return LatencyTable("onnx", 2, folder, timer=changes.get("timer", self.timer), clock=self.clock)
