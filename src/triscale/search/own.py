"""A module of the user's own as the baseline of a search."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import Any

import torch

from triscale.errors import SpecError
from triscale.models.model import Model
from triscale.modules.build import build, image_channels
from triscale.modules.count import module_cost
from triscale.modules.factory import Factory, users_code
from triscale.modules.plain import Scaling, example
from triscale.modules.plan import Analysis, analyse
from triscale.modules.trace import analysis_copy, own_randomness
from triscale.search.candidate import Candidate, Multipliers, OwnModule
from triscale.spec.network import Size


@dataclass(frozen=True, eq=False)
class ModuleBaseline:
    """See `Baseline`; of a factory, which is called with depth and width where it takes them, else traced and edited.

    size: (H, W) of the baseline's images, in pixels. classes: that it is made for; its own number by default.
    What a module costs is counted on its trace: one for each size in pixels, or, where the factory scales itself, for
    each module that it makes.
    """

    factory: Factory
    size: Size
    classes: int | None = None
    analyses: dict[Size, Analysis] = field(default_factory=dict)
    counted: dict[tuple[tuple[int | str, ...], Size], tuple[int, int]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The factory's, without its file."""
        return self.factory.function

    def described(self) -> dict[str, Any]:
        """See `Baseline.described`."""
        return {"factory": self.factory.reference, "sources": dict(self.factory.sources), "size": list(self.size)}

    def at(self, multipliers: Multipliers) -> Candidate:
        """See `Baseline.at`. Raises: SpecError, ModuleError for code that fails, or cannot be scaled."""
        depth, width, resolution = multipliers
        if min(multipliers) <= 0:
            raise SpecError(f"{self.name}: multipliers must be above 0, got {multipliers}.")
        size = max(1, round(resolution * self.size[0])), max(1, round(resolution * self.size[1]))
        name = f"{self.name}-d{depth:.4g}-w{width:.4g}-r{resolution:.4g}"
        with users_code(self.factory.path, self.factory.reference):
            layers, params, macs = (self._called if self.factory.scales_itself else self._traced)(depth, width, size)
        sources = tuple(sorted(self.factory.sources.items()))
        return Candidate(OwnModule(name, sources, layers, size), multipliers, params, macs)

    def of_classes(self, classes: int) -> ModuleBaseline:
        """See `Baseline.of_classes`; a factory that takes no num_classes makes what it makes."""
        return ModuleBaseline(self.factory, self.size, classes)

    def model(self, candidate: Candidate, classes: int) -> Model:
        """See `Baseline.model`."""
        depth, width, _ = candidate.multipliers
        return build(self.factory, candidate.size, classes, Scaling(depth, width)).model

    def _called(self, depth: float, width: float, size: Size) -> tuple[tuple[str, ...], int, int]:
        """Of a factory that scales itself; the same module is traced once."""
        for name, value in (("depth", depth), ("width", width)):
            if value != 1 and name not in self.factory.takes:
                raise SpecError(f"{self.factory.reference}: takes no {name}, so that no search can change it.")
        module = self.factory.make(depth, width, self.classes)
        shapes = (f"{key} {tuple(value.shape)}" for key, value in module.state_dict().items())
        layers = hashlib.sha256("\n".join((repr(module), *shapes)).encode()).hexdigest()
        if ((layers,), size) not in self.counted:
            found = module_cost(module, example(module, image_channels(module), size, batch=1))
            self.counted[(layers,), size] = found.params, found.macs
        return (layers,), *self.counted[(layers,), size]

    def _traced(self, depth: float, width: float, size: Size) -> tuple[tuple[int, ...], int, int]:
        if size not in self.analyses:
            torch.manual_seed(0)  # the same module each time
            module = self.factory.make(num_classes=self.classes)
            copied, images = analysis_copy(module).eval(), example(module, image_channels(module), size)
            with own_randomness(images):
                self.analyses[size] = analyse(copied, images, tie_depth=True)
        analysis = self.analyses[size]
        plan = analysis.plan(depth, width)
        layers = (*plan.lengths, *(plan.widths[each.group] for each in analysis.widths))
        if (layers, size) not in self.counted:
            found = analysis.cost(plan, memory=False)
            self.counted[layers, size] = found.params, found.macs
        return layers, *self.counted[layers, size]
