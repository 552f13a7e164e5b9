"""Feature maps of a student brought to those of a teacher, by a 1x1 convolution for each pair of maps."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Generator, Sequence

import torch
from torch import Tensor, nn

from triscale.errors import TrainingError
from triscale.models.assembler import ConvNet


class FeatureMatch(nn.Module):
    """How far a student's feature maps are from a teacher's, after one trained 1x1 convolution for each.

    The convolutions are no part of the student: they train beside it and are thrown away with the teacher.
    strides: the last map at each of these is matched; without any, the last map of both, whatever their strides are.
    pooled: averages over all pixels are matched, which leaves the student free in where it sees something.
    seed: of the convolutions' first weights.
    Raises: TrainingError for a model that is not a network's, or a stride that one of the two has not.
    Source: FitNets, https://arxiv.org/abs/1412.6550, section 2.2 (a regressor on a hint layer); here the mean squared
    error is a share of the teacher's own mean square, so that one weight serves every layer and teacher.
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, strides: Sequence[int] = (), pooled: bool = False, seed: int = 0
    ) -> None:
        super().__init__()
        own, other = _taps(student, strides, "the student"), _taps(teacher, strides, "the teacher")
        self.pooled = pooled
        self._student, self._teacher = [tap for tap, _ in own], [tap for tap, _ in other]  # lists: no part of this
        dice = torch.Generator().manual_seed(seed)
        self.adapters = nn.ModuleList(
            _adapter(mine, theirs, dice) for (_, mine), (_, theirs) in zip(own, other, strict=True)
        )

    def student_maps(self) -> contextlib.AbstractContextManager[dict[int, Tensor]]:
        """Within the block, what the student computes is kept: number of the pair -> map."""
        return _kept(self._student)

    def teacher_maps(self) -> contextlib.AbstractContextManager[dict[int, Tensor]]:
        """Within the block, what the teacher computes is kept: number of the pair -> map."""
        return _kept(self._teacher)

    def forward(self, student: dict[int, Tensor], teacher: dict[int, Tensor]) -> Tensor:
        """The mean over all pairs of squared error / mean square of the teacher's map, a scalar; 1 is no likeness.

        student, teacher: number -> (B, channels, H, W). A teacher's map of another size is resized to the student's.
        Raises: TrainingError when a network did not show its maps, as a compiled one does not.
        """
        if len(student) < len(self.adapters):
            raise TrainingError(
                "distillation.features needs maps from inside the student, which a compiled network does not show; "
                "set compile = false, or distillation.features = 0."
            )
        shares = []
        for number, adapter in enumerate(self.adapters):
            mine, theirs = student[number], teacher[number].float()
            if self.pooled:
                mine, theirs = mine.mean((2, 3), keepdim=True), theirs.mean((2, 3), keepdim=True)
            elif theirs.shape[-2:] != mine.shape[-2:]:
                theirs = nn.functional.interpolate(theirs, mine.shape[-2:], mode="bilinear", antialias=True)
            error = (adapter(mine).float() - theirs).square().mean()
            shares.append(error / theirs.square().mean().clamp(min=1e-12))
        return torch.stack(shares).mean()


def _adapter(channels: int, wanted: int, dice: torch.Generator) -> nn.Conv2d:
    made = nn.utils.skip_init(nn.Conv2d, channels, wanted, 1)
    nn.init.normal_(made.weight, std=1 / math.sqrt(channels), generator=dice)
    nn.init.zeros_(made.bias)
    return made


def _taps(model: nn.Module, strides: Sequence[int], who: str) -> list[tuple[nn.Module, int]]:
    """(stage, its channels) where maps are taken."""
    if not isinstance(model, ConvNet):
        raise TrainingError(f"distillation.features: {who} is no Network, so it has no stages; set features = 0.")
    network = model.network
    reductions = network.reductions()
    missing = [stride for stride in strides if stride not in reductions]
    if missing:
        raise TrainingError(
            f"distillation.strides: {who} ({network.name}) has no map at stride {missing[0]}; it has them at "
            f"{', '.join(map(str, reductions))}."
        )
    numbers = [reductions[stride] for stride in strides] or [len(network.stages) - 1]
    return [(model.stages[number], network.stages[number].channels) for number in numbers]


@contextlib.contextmanager
def _kept(modules: Sequence[nn.Module]) -> Generator[dict[int, Tensor]]:
    maps: dict[int, Tensor] = {}

    def keep(number: int, output: Tensor) -> None:
        maps[number] = output

    handles = [
        module.register_forward_hook(lambda _module, _inputs, output, number=number: keep(number, output))
        for number, module in enumerate(modules)
    ]
    try:
        yield maps
    finally:
        for handle in handles:
            handle.remove()
