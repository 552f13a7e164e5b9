"""What training and deployment ask of a model, whoever wrote its layers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from triscale.spec.card import ModelCard
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing


class Model(nn.Module, ABC):
    """Layers, together with what they cannot be used without.

    preprocessing: how a photograph becomes its input. card: what a person must know of its weights.
    channels_last: whether its layers take images in that memory layout.

    Shapes: (B, in_channels, H, W) -> (B, outputs).
    """

    preprocessing: Preprocessing
    card: ModelCard
    channels_last: bool = True

    @property
    @abstractmethod
    def name(self) -> str:
        """What people call it."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Logits of one image; 0 without a classifier."""

    @property
    def in_channels(self) -> int:
        """Channels of the images."""
        return self.preprocessing.channels

    @abstractmethod
    def costs(self, size: Size) -> tuple[int, int]:
        """(parameters, multiply-accumulates) for one image of `size` pixels (H, W)."""

    @abstractmethod
    def regularise(self, dropout: float | None, drop_connect: float | None) -> tuple[str, ...]:
        """Other rates of dropout and drop connect, of which None leaves one as it is.

        Returns: a line on each that could not be set.
        """

    @abstractmethod
    def description(self) -> dict[str, Any]:
        """What a file must say beside the tensors so that the layers can be made again, as plain JSON values."""

    @property
    def layers(self) -> nn.Module:
        """The module by whose names people know its layers."""
        return self

    @abstractmethod
    def classifier(self) -> str:
        """The name, in `layers`, of the layer that makes the logits. Raises: SpecError when none does."""

    def heads(self) -> tuple[str, ...]:
        """The names, in `layers`, of what learns first where the rest is trained already: by default the classifier."""
        return (self.classifier(),)

    def stages_in_order(self) -> list[tuple[str, nn.Module]]:
        """(name in `layers`, module) of its parts from the images to the answer; those without weights are left out."""
        return [each for each in self.layers.named_children() if next(each[1].parameters(), None) is not None]

    def tensors(self) -> Mapping[str, Tensor]:
        """Its weights and statistics, by the names under which a file holds them."""
        return self.state_dict()

    def fixed(self, size: int | Size | None) -> None:
        """Work out once what depends on the images' size (H, W), where something does; None forgets it."""
