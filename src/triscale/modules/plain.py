"""A module that somebody else wrote, with what training and deployment need of it beside its layers."""

from __future__ import annotations

import copy
import dataclasses
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from triscale.errors import SpecError
from triscale.models.model import Model
from triscale.modules.classifier import last_layer
from triscale.modules.count import module_cost
from triscale.modules.multipliers import LARGEST
from triscale.spec.card import ModelCard
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing

DROPOUTS = (nn.Dropout, nn.Dropout1d, nn.Dropout2d)


@dataclass(frozen=True, slots=True)
class Scaling:
    """By how much a module is scaled: by two multipliers, or until it makes the most of a budget."""

    depth: float = 1.0
    width: float = 1.0
    budget: str = ""

    def __post_init__(self) -> None:
        for name in ("depth", "width"):
            value = getattr(self, name)
            if not 0 < value <= LARGEST:
                raise SpecError(f"--{name} must be above 0 and at most {LARGEST:g}, got {value:g}.")
        if self.budget and (self.depth, self.width) != (1.0, 1.0):
            raise SpecError("a module is scaled either by --depth and --width or --to BUDGET; give one of the two.")

    def __bool__(self) -> bool:
        return self != Scaling()


@dataclass(frozen=True, slots=True)
class Origin:
    """Which code made a module, and how: the same code, called so again, makes the same layers.

    factory: "file.py:name". sources: file name -> SHA-256. scaling: as the user asked. depth, width: what the factory
    was called with, where it scales itself. size: (H, W) in pixels of the images for which it was scaled.
    first_outputs: logits of an image when it was scaled; outputs: now, after another last layer.
    """

    factory: str = ""
    sources: dict[str, str] = field(default_factory=dict)
    scaling: Scaling = field(default_factory=Scaling)
    depth: float = 1.0
    width: float = 1.0
    size: Size = (224, 224)
    first_outputs: int = 1000
    outputs: int = 1000


class PlainModel(Model):
    """A user's module with its preprocessing, card and origin. It has no Network: its cost is counted as it runs.

    module: maps (B, C, H, W) to (B, outputs). Nothing of it is changed.
    Shapes: as the module's.
    Raises: SpecError when it has nothing to train, holds more than tensors, or answers images with something else.
    """

    def __init__(self, module: nn.Module, preprocessing: Preprocessing, origin: Origin) -> None:
        super().__init__()
        self.module = module
        self.preprocessing, self.origin = preprocessing, origin
        self.card = ModelCard()
        if next(module.parameters(), None) is None:
            raise SpecError(f"{self.name}: has no parameters, so there is nothing to train or to export.")
        strange = [key for key, value in module.state_dict().items() if not isinstance(value, Tensor)]
        if strange:
            raise SpecError(f"{self.name}: its state holds {strange[0]!r}, which is no tensor and fits no weight file.")

    @property
    def name(self) -> str:
        """The factory's name."""
        return self.origin.factory or type(self.module).__name__

    @property
    def outputs(self) -> int:
        """Logits of one image."""
        return self.origin.outputs

    @property
    def layers(self) -> nn.Module:
        """The user's module."""
        return self.module

    def classifier(self) -> str:
        """The last layer that makes as many outputs as the module has; found by running it on one small batch."""
        return last_layer(self.module, example(self.module, self.in_channels, self.preprocessing.size), self.name)

    def forward(self, x: Tensor) -> Tensor:
        """What the user's module answers."""
        return self.module(x)

    def tensors(self) -> dict[str, Tensor]:
        """Its weights under the user's own names."""
        return self.module.state_dict()

    def costs(self, size: Size) -> tuple[int, int]:
        """(parameters, multiply-accumulates) for one image of `size` pixels (H, W), counted on the traced module."""
        counted = module_cost(self.module, example(self.module, self.in_channels, size, batch=1))
        return counted.params, counted.macs

    def regularise(self, dropout: float | None, drop_connect: float | None) -> tuple[str, ...]:
        """Set the rate of every dropout layer; drop connect is inside the user's blocks, where nobody else sets it."""
        notes = []
        layers = [each for each in self.modules() if isinstance(each, DROPOUTS)]
        if dropout is not None:
            for layer in layers:
                layer.p = dropout
        if dropout and not layers:
            notes.append(f"{self.name} has no dropout layer: the recipe's dropout of {dropout:g} has no place")
        if drop_connect is not None:
            notes.append(f"{self.name} keeps its own drop connect: only a Network's can be set by a recipe")
        return tuple(notes)

    def description(self) -> dict[str, Any]:
        """Which code makes the layers again; the code itself is never in a file."""
        return {"module": dataclasses.asdict(self.origin)}


def example(module: nn.Module, channels: int, size: Size, batch: int = 2) -> Tensor:
    """Images for a trial, always the same: (batch, channels, H, W) on the module's device."""
    parameter = next(module.parameters(), None)
    images = torch.randn(batch, channels, *size, generator=torch.Generator().manual_seed(0))
    return images if parameter is None else images.to(parameter.device)


def answers_for(module: nn.Module, images: Tensor, name: str) -> int:
    """Logits of an image, in evaluation mode; the module is left as it was.

    It must answer for all images and for the first alone: evaluation ends with whatever is left over.
    Raises: SpecError when it does not answer with (B, outputs), and whatever the user's code raises.
    """
    trial = copy.deepcopy(module).eval()
    with torch.no_grad():
        outputs = _checked(trial(images), images, name)
        _checked(trial(images[:1]), images[:1], name)
    return outputs


def rehearse(model: PlainModel) -> None:
    """One step of training on a copy, so that what cannot be trained is told before a run begins.

    Sets `model.channels_last` to whether the module takes that memory layout (a `view` may not).
    Raises: whatever the user's code raises; SpecError when in training it answers with something else than logits.
    """
    images = example(model.module, model.in_channels, model.preprocessing.size)
    with torch.random.fork_rng(devices=[]):
        try:
            _step(model, images.to(memory_format=torch.channels_last), torch.channels_last)
            model.channels_last = True
        except SpecError:
            raise
        except Exception:  # the same step in the usual layout tells whether it was the layout
            _step(model, images, torch.contiguous_format)
            model.channels_last = False


def _step(model: PlainModel, images: Tensor, layout: torch.memory_format) -> None:
    trial = copy.deepcopy(model.module).train()
    trial.to(memory_format=layout)  # ty: ignore[no-matching-overload]
    answer = trial(images)
    _checked(answer, images, f"{model.name} in training mode")
    answer.sum().backward()


def _checked(answer: object, images: Tensor, name: str) -> int:
    found = f"a {type(answer).__name__}" if not isinstance(answer, Tensor) else f"shape {tuple(answer.shape)}"
    if not isinstance(answer, Tensor) or answer.ndim != 2 or len(answer) != len(images):
        raise SpecError(
            f"{name}: answers images of shape {tuple(images.shape)} with {found}; expected logits of shape "
            f"({len(images)}, classes)."
        )
    return answer.shape[1]
