"""Modules of the user's own on a command line: `file.py:factory`, or weights together with `--module file.py:factory`.

Code is run only where the user names it; a file that was written says which code it needs, and nothing more.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from triscale.errors import FileError, SpecError
from triscale.models.hub.place import is_place
from triscale.models.tensors import read_tensors
from triscale.models.weights import own_values
from triscale.modules.build import Built, build, counted_budget, with_classes
from triscale.modules.factory import Factory, load_factory, users_code
from triscale.modules.files import changed_sources, load, put
from triscale.modules.plain import PlainModel, Scaling, rehearse
from triscale.modules.scale import scaling_report
from triscale.spec.card import ModelCard
from triscale.spec.network import Size

DEFAULT_SIZE = (224, 224)


def open_own(path: str | Path, reference: str) -> PlainModel:
    """The model in a file of weights, with the code that the user names.

    Raises: FileError or SpecError when one of the two cannot be read; WeightsError when they do not fit each other.
    """
    if Path(path).suffix in (".onnx", ".xml"):
        raise FileError(f"{path}: is an exported file and needs no code; leave out --module.")
    factory = load_factory(reference)
    model = load(path, factory)
    changed = changed_sources(factory, model.origin)
    if changed:
        print(
            f"triscale: note: {', '.join(changed)} changed since these weights were made: the same tensors fit, "
            f"but what is computed with them may differ.",
            file=sys.stderr,
        )
    return model


def made_by(reference: str, size: Size | None) -> PlainModel:
    """The model as its factory makes it, with the weights that its code gave it."""
    model = build(load_factory(reference), size or DEFAULT_SIZE).model
    print(f"triscale: note: {reference}: its weights are those that its code gives it.", file=sys.stderr)
    return model.eval()


def how_scaled(model: PlainModel, factory: Factory) -> list[str]:
    """How a module was scaled, and which of its weights are fresh: lines for people; none where it was not."""
    own = model.origin
    if own.scaling and factory.scales_itself:
        given = {"depth": own.depth, "width": own.width}
        called = ", ".join(f"{name}={value:g}" for name, value in given.items() if name in factory.takes)
        return [f"{own.factory} was called with {called}; all weights are as it gave them"]
    report = scaling_report(model.module)
    return [] if report is None else str(report).splitlines()


def scaling_of(depth: float | None, width: float | None, to: str | None) -> Scaling:
    """The options of a command line. Raises: BudgetError or SpecError for what cannot be, before any code is run."""
    if to is not None:
        counted_budget(to)
    return Scaling(1.0 if depth is None else depth, 1.0 if width is None else width, to or "")


class OwnSubject:
    """What `triscale train file.py:factory` trains.

    name: of the run's folder. arguments: all that decides what is trained, for `run.json`.
    """

    has_boxes = False

    def __init__(self, reference: str, size: Size | None, scaling: Scaling, weights: str | None) -> None:
        if weights == "pretrained" or is_place(weights):
            raise SpecError(f"{reference}: nobody published weights for it; give --weights a file.")
        self.factory: Factory = load_factory(reference)
        self.size, self.scaling = size, scaling
        self.weights = None if weights is None else Path(weights)
        if self.weights is not None and not self.weights.is_file():
            raise FileError(f"{self.weights}: no such file; give --weights the file of a run or of `triscale scale`.")
        self.name = self.factory.function
        self.arguments = {
            "module": {
                "factory": self.factory.reference,
                "sources": self.factory.sources,
                "depth": scaling.depth,
                "width": scaling.width,
                "to": scaling.budget,
                "size": None if size is None else list(size),
            },
            "weights": "" if self.weights is None else str(self.weights.resolve()),
        }

    @property
    def starts_trained(self) -> bool:
        """With a file of weights; what its code loads by itself nobody else can tell."""
        return self.weights is not None

    def make(self, classes: int, folder: Path | None, say: Callable[[str], None]) -> PlainModel:
        """The model with its first weights and `classes` outputs, proven to do a step of training.

        folder: of the run; nothing is written, as `run.json` and the weights say it all.
        say: gets a line on what is fresh, and on what the module costs.
        """
        built = self._from_weights(self.weights, classes) if self.weights else self._from_code(classes)
        model = built.model
        with users_code(self.factory.path, f"a step of training {self.factory.reference}"):
            rehearse(model)
        if built.fresh:
            say(f"{self.name}: {built.fresh} is fresh, with {classes} outputs")
        for line in how_scaled(model, self.factory):
            say(f"{self.name}: {line}")
        params, macs = model.costs(model.preprocessing.size)
        say(f"{self.name}: {params:,} parameters, {macs:,} multiply-accumulates, counted as it runs")
        return model

    def _from_code(self, classes: int) -> Built:
        return build(self.factory, self.size or DEFAULT_SIZE, classes, self.scaling)

    def _from_weights(self, path: Path, classes: int) -> Built:
        """The module of a file with its weights; or the factory's module with the weights of a plain state dict."""
        file = read_tensors(path)
        values = own_values(file)
        if values is not None and "module" not in values:
            raise FileError(f"{path}: holds the weights of a Network, not of {self.factory.reference}.")
        if values is not None:
            if self.scaling:
                raise SpecError(f"{path}: says by how much its module is scaled; leave out --depth, --width and --to.")
            model = load(path, self.factory)
            built = with_classes(model, classes)
        else:
            built = self._from_code(classes)
            left = put(built.model, file.tensors, str(path), new_classes=True)
            built = replace(built, fresh=left[0].rpartition(".")[0] if left else "")
            built.model.card = ModelCard(origin=path.name, sha256=file.sha256)
        if self.size is not None:
            built.model.preprocessing = replace(built.model.preprocessing, size=self.size)
        return built
