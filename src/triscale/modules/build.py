"""From a factory to a model: called or traced, at two multipliers or inside a budget, with the data's classes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor, nn

from triscale.errors import BudgetError, SpecError
from triscale.models.assembler import for_channels
from triscale.modules.classifier import with_outputs
from triscale.modules.count import module_cost
from triscale.modules.factory import Factory, users_code
from triscale.modules.multipliers import largest_inside
from triscale.modules.plain import Origin, PlainModel, Scaling, answers_for, example
from triscale.modules.scale import scale_module
from triscale.spec.limits import COUNTED, Budget, parse
from triscale.spec.network import Size
from triscale.spec.preprocessing import Preprocessing


@dataclass(frozen=True, slots=True)
class Built:
    """A model that was made. fresh: the path of a last layer that replaced another one, "" where none did."""

    model: PlainModel
    fresh: str


def build(factory: Factory, size: Size, classes: int | None = None, scaling: Scaling | None = None) -> Built:
    """The model that a factory makes, scaled as asked, with the weights that its code gave it.

    size: (H, W) in pixels of its images. classes: outputs that it must have; None takes what the factory makes.
    A factory that takes depth or width is called with them; any other module is traced and edited.
    Raises: SpecError when the user's code raises (with its line), does not answer with logits, or cannot be scaled;
        BudgetError when nothing is inside the budget.
    """
    scaling = scaling or Scaling()
    maker = _Maker(factory, size, classes)
    with users_code(factory.path, factory.reference):
        if factory.scales_itself:
            depth, width = maker.multipliers(scaling)
            made = maker.make(depth, width)
        else:
            depth, width = 1.0, 1.0
            made = maker.make()
            if scaling:
                made = replace(made, module=maker.traced(made.module, scaling))
        outputs = answers_for(made.module, maker.example(made.module), factory.reference)
    origin = Origin(factory.reference, factory.sources, scaling, depth, width, size, outputs, outputs)
    preprocessing = maker.preprocessing(made.module)
    return Built(PlainModel(made.module, preprocessing, origin), made.fresh)


def rebuild(factory: Factory, origin: Origin) -> PlainModel:
    """The model of an earlier `build`, made again by the same code. Raises: as `build`."""
    # A budget need not be searched twice where the factory can be called with what was found.
    scaling = Scaling(origin.depth, origin.width) if factory.scales_itself else origin.scaling
    model = build(factory, origin.size, origin.first_outputs, scaling).model
    model.origin = replace(model.origin, scaling=origin.scaling)
    return with_classes(model, origin.outputs).model


def with_classes(model: PlainModel, classes: int) -> Built:
    """The model with another number of outputs: its last layer is then a fresh one. `model` is changed."""
    images = example(model.module, model.in_channels, model.preprocessing.size)
    model.module, fresh = with_outputs(model.module, images, classes, model.name)
    model.origin = replace(model.origin, outputs=classes)
    return Built(model, fresh)


@dataclass(frozen=True, slots=True)
class _Made:
    module: nn.Module
    fresh: str


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes modules of one factory for images of one size and so many classes."""

    factory: Factory
    size: Size
    classes: int | None
    counted: dict[str, Mapping[str, float]] = field(default_factory=dict)

    def make(self, depth: float = 1.0, width: float = 1.0) -> _Made:
        module = self.factory.make(depth, width, self.classes)
        if self.classes is None:
            return _Made(module, "")
        images = self.example(module)
        answers_for(module, images, self.factory.reference)
        return _Made(*with_outputs(module, images, self.classes, self.factory.reference))

    def example(self, module: nn.Module, batch: int = 2) -> Tensor:
        return example(module, self.preprocessing(module).channels, self.size, batch)

    def preprocessing(self, module: nn.Module) -> Preprocessing:
        """The module's own `preprocessing`, where it has one, else ImageNet's; at the size that is asked for."""
        own = getattr(module, "preprocessing", None)
        if isinstance(own, Preprocessing):
            return replace(own, size=self.size, train_size=None)
        return for_channels(Preprocessing(size=self.size), image_channels(module))

    def counts(self, depth: float, width: float) -> Mapping[str, float]:
        """What the factory's module costs at these multipliers, by budget word; the same module is traced once."""
        module = self.make(depth, width).module
        layers = "\n".join(
            [repr(module), *(f"{key} {tuple(value.shape)}" for key, value in module.state_dict().items())]
        )
        if layers not in self.counted:
            self.counted[layers] = module_cost(module, self.example(module, batch=1)).values()
        return self.counted[layers]

    def multipliers(self, scaling: Scaling) -> tuple[float, float]:
        """What a factory that scales itself is to be called with."""
        for name, value in (("depth", scaling.depth), ("width", scaling.width)):
            if value != 1 and name not in self.factory.takes:
                raise SpecError(f"{self.factory.reference}: takes no {name}; add the argument, or leave out --{name}.")
        if not scaling.budget:
            return scaling.depth, scaling.width
        directions = tuple(name for name in ("depth", "width") if name in self.factory.takes)
        return largest_inside(self.counts, counted_budget(scaling.budget), directions, self.factory.reference)

    def traced(self, module: nn.Module, scaling: Scaling) -> nn.Module:
        if scaling.budget:
            counted_budget(scaling.budget)
        return scale_module(module, self.example(module), scaling.depth, scaling.width, scaling.budget or None)


def image_channels(module: nn.Module) -> int:
    """Channels of the images that a module reads: its own preprocessing's, else those of its first convolution."""
    own = getattr(module, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return own.channels
    first = next((each for each in module.modules() if isinstance(each, nn.Conv2d)), None)
    return 3 if first is None else first.in_channels


def counted_budget(text: str) -> Budget:
    """A budget of what can be counted on a module. Raises: BudgetError for latency and size, which belong to a file."""
    budget = parse(text)
    for word in budget.limits:
        if word not in COUNTED:
            raise BudgetError(
                f"budget {text!r}: {word} belongs to an exported file; a module of your own is scaled to "
                f"{', '.join(COUNTED)}; `triscale bench` times it."
            )
    return budget
