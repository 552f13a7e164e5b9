"""What other libraries call the tensors of a network: maps made by walking the network, one file for each library.

"triscale" is our own naming, "timm" timm's (its tf_ and native models alike), "efficientnet_pytorch" lukemelas' and
that of efficientnet_lite_pytorch, "torchvision" torchvision's, "effdet" that of effdet's backbones.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Literal, get_args

from triscale.errors import WeightsError
from triscale.models.naming import effdet, lukemelas, timm, torchvision
from triscale.models.naming.walk import require_no_bias
from triscale.spec.network import Network, Numerics
from triscale.spec.owners import GOOGLE

Naming = Literal["triscale", "timm", "efficientnet_pytorch", "torchvision", "effdet"]
NAMINGS: tuple[Naming, ...] = get_args(Naming)

WALKS = {
    "timm": timm.names,
    "efficientnet_pytorch": lukemelas.names,
    "torchvision": torchvision.names,
    "effdet": effdet.names,
}


def layer_names(network: Network, naming: Naming) -> dict[str, str]:
    """Our name of each layer with weights -> its name in another naming, e.g. "stem.0.conv" -> "conv_stem".

    Raises: WeightsError when that library has no such network, so that its names are not known.
    """
    if naming not in WALKS:
        raise WeightsError(f"{naming!r} is no known naming; expected one of {', '.join(NAMINGS)}.")
    require_no_bias(naming, network)
    return dict(WALKS[naming](network))


@lru_cache(maxsize=256)
def knows(naming: Naming, network: Network) -> bool:
    """Whether `naming` has names for every layer of `network`."""
    if naming == "triscale":
        return True
    try:
        layer_names(network, naming)
    except WeightsError:
        return False
    return True


def numerics_of(naming: Naming, network: Network, keys: Iterable[str]) -> Numerics | None:
    """How weights of that naming were trained to be computed with; None where the naming does not say.

    keys: the names of all the tensors, by which effdet's detectors differ.
    """
    if naming == "efficientnet_pytorch":
        return GOOGLE
    if naming == "torchvision":
        return torchvision.numerics(network)
    return effdet.numerics(keys) if naming == "effdet" else None
