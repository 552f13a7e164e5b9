"""`--teacher MODEL` on a command line: any model that has class names, exported ones too."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.errors import TrainingError
from triscale.models.hub.place import is_place
from triscale.modules.reference import is_reference

if TYPE_CHECKING:
    from triscale.training.recipe import Recipe
    from triscale.training.teacher import Teacher

EXPORTED = (".onnx", ".xml")


def with_teacher(recipe: Recipe, source: str | None, weight: float | None, temperature: float | None) -> Recipe:
    """A recipe with a distillation, as options say; without any, the recipe as it is.

    source: of the teacher; None takes the recipe's own. weight, temperature: None leaves the recipe's.
    Raises: TrainingError where options are given but no teacher is.
    """
    from triscale.training.distillation import Distillation

    own = recipe.distillation
    if source is None and own is None:
        if weight is None and temperature is None:
            return recipe
        raise TrainingError("--distill-weight and --temperature are for a teacher; give --teacher MODEL too.")
    made = own or Distillation()
    if source is not None:
        made = replace(made, teacher=_lasting(source), sha256="")
    if not made.teacher:
        raise TrainingError("the recipe has a distillation without a teacher; give --teacher MODEL.")
    made = replace(made, weight=made.weight if weight is None else weight)
    return replace(
        recipe, distillation=replace(made, temperature=made.temperature if temperature is None else temperature)
    )


def open_teacher(source: str) -> Teacher:
    """The teacher that a recipe names.

    Raises: what `open_model` and `open_predictor` raise; TrainingError for code without weights.
    """
    from triscale.cli.models import open_model
    from triscale.training.teacher import Teacher

    if is_reference(source):
        raise TrainingError(
            f"teacher {source}: is code; train and export it, and give the exported file (`triscale export --module`)."
        )
    path = Path(source)
    if path.suffix in EXPORTED:
        return _exported(path)
    return Teacher.of(open_model(source))


def _exported(path: Path) -> Teacher:
    """An exported file, run by its own engine. It answers on the CPU and shows no feature maps."""
    import torch
    from torch import Tensor, nn

    from triscale.deployment.engine import load_engine
    from triscale.training.teacher import Teacher

    engine = load_engine(path)

    class Exported(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.from_numpy(engine.run(x.cpu().numpy())).to(x.device)

    files = [path, *(each for each in [path.with_suffix(".bin")] if path.suffix == ".xml" and each.exists())]
    hashed = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()
    return Teacher(Exported(), engine.preprocessing, engine.classes, hashed)


def _lasting(source: str) -> str:
    """The source as it means the same from any folder."""
    return source if is_place(source) or not Path(source).exists() else str(Path(source).resolve())
