"""What a training keeps in memory, by arithmetic: activations for the backward pass, stage by stage, and the weights.

Every layer keeps what its gradient needs: a convolution its input, BatchNorm the convolution's output, an activation
that forgets its sign or slope a copy of its own input, a gate the map that it scales. On a CPU in float32 SiLU behind
BatchNorm keeps none (its input is made again, see `models/cpu_training.py`); elsewhere it does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from triscale.spec.block import Activation
from triscale.spec.cost import BYTES, LayerCost, cost
from triscale.spec.network import Network

# Numbers that an optimiser keeps for each weight.
STATES = {"sgd": 1, "adamw": 2, "rmsprop_tf": 2}
# Activations that work in place, and whose gradient needs what was there before.
COPYING: frozenset[Activation] = frozenset(("silu", "swish", "hardswish", "relu6"))
# Convolutions behind which no activation stands.
LINEAR = frozenset(("project", "second", "restore", "shortcut", "branch depthwise"))
SMALL = frozenset(("squeeze pool", "squeeze reduce", "squeeze expand", "average pool"))


@dataclass(frozen=True, slots=True)
class TrainingMemory:
    """Bytes of a step of training; the peak of the process is above them by what single layers need while they run.

    stages: what is kept for the backward pass, by "stem", "stage 1", …, "head". weights, gradients, optimiser, average:
    of the parameters, all in float32.
    """

    stages: dict[str, int]
    weights: int
    gradients: int
    optimiser: int
    average: int

    @property
    def activations(self) -> int:
        """Kept for the backward pass, over all stages."""
        return sum(self.stages.values())

    @property
    def total(self) -> int:
        """All of it."""
        return self.activations + self.weights + self.gradients + self.optimiser + self.average

    def __str__(self) -> str:
        """For people, in one line."""
        parts = ", ".join(f"{name} {size / 1e6:.1f} MB" for name, size in self.stages.items())
        return (
            f"about {self.total / 1e6:.0f} MB: activations {self.activations / 1e6:.0f} MB ({parts}), "
            f"weights {self.weights / 1e6:.0f} MB, gradients {self.gradients / 1e6:.0f} MB, "
            f"optimiser {self.optimiser / 1e6:.0f} MB, average {self.average / 1e6:.0f} MB"
        )


def training_memory(
    network: Network,
    size: int | tuple[int, int] | None = None,
    images: int = 1,
    *,
    optimiser: str = "adamw",
    average: bool = True,
    copies: bool = False,
    element: int = BYTES,
) -> TrainingMemory:
    """What a step of training keeps, for so many images of `size` pixels at once.

    optimiser: its name. average: whether there is a moving average of the weights. copies: whether SiLU keeps its input
    (it does not on a CPU in float32). element: bytes of one activation: 2 in bf16 and fp16.
    Source: tested against what autograd really keeps, family by family.
    """
    counted = cost(network, size)
    stages: dict[str, int] = {}
    for name, elements in _kept(network, counted.layers, counted.size, copies):
        stages[name] = stages.get(name, 0) + elements * images * element
    weights = BYTES * counted.params
    return TrainingMemory(stages, weights, weights, weights * STATES[optimiser], weights if average else 0)


def _kept(
    network: Network, layers: tuple[LayerCost, ...], size: tuple[int, int], copies: bool
) -> Iterator[tuple[str, int]]:
    """(stage, elements that are kept) of every operation for one image."""
    read = prod(size) * network.in_channels  # elements of the map that comes next, as far as nobody keeps them yet
    for layer in layers:
        made = prod(layer.output)
        name, _, rest = layer.where.partition(".")
        stage = f"stage {int(rest.partition('.')[0]) + 1}" if rest else name
        if layer.operation in SMALL:
            read = made if layer.operation == "average pool" else read
            continue
        if layer.operation == "max pool":
            yield stage, read + 2 * made  # it keeps the place of every maximum in eight bytes
        elif layer.operation == "shortcut":
            yield stage, made  # its input is that of the block, which is kept already
        elif layer.operation == "gate" or layer.operation in ("classifier", "linear"):
            yield stage, read
        elif layer.activations:
            yield stage, read + made
        act = _activation(network, layer)
        if act in COPYING and (copies or act != "silu"):
            yield stage, made
        read = made
        if act == "relu":  # it keeps its result, which is what the next layer reads
            yield stage, made
            read = 0


def _activation(network: Network, layer: LayerCost) -> Activation:
    """What stands behind an operation, and works on its result."""
    name, _, place = layer.where.partition(".")
    if name == "stem":
        return network.stem.activation if layer.activations else "identity"
    if name == "head":
        return network.head.activation if network.head is not None and layer.activations else "identity"
    stage, number = (int(each) for each in place.split("."))
    block = network.stages[stage].blocks[number]
    if layer.operation == "add":
        return block.activation if block.kind in ("basic", "bottleneck") else "identity"
    return block.activation if layer.activations and layer.operation not in LINEAR else "identity"
