"""What `scale_module` did, for programs and for people."""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import nn

from triscale.modules.count import ModuleCost

ATTRIBUTE = "_scaling_report"  # of a module that scale_module made; it is copied and moved with it


@dataclass(frozen=True, slots=True)
class ScaledWidth:
    """One group of channels. where: the parameter that makes them; before and after: channels."""

    where: str
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class ScaledStage:
    """One run of blocks. fixed_because: why depth does not act on it; empty where it does."""

    where: str
    before: int
    after: int
    fixed_because: str = ""


@dataclass(frozen=True, slots=True)
class ScalingReport:
    """What a module became.

    depth, width: the multipliers, found or given. before, after: costs at batch 1. widths: every group of channels that
    may change. stages: every run of blocks. new: names of freshly initialised tensors. notes: what else to know.
    """

    depth: float
    width: float
    before: ModuleCost
    after: ModuleCost
    widths: tuple[ScaledWidth, ...]
    stages: tuple[ScaledStage, ...]
    new: tuple[str, ...] = field(repr=False)
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        """A few lines for people."""
        old, new = self.before, self.after
        lines = [
            f"depth x{self.depth:.4g}, width x{self.width:.4g}: "
            f"{old.params / 1e6:.4g} -> {new.params / 1e6:.4g} M params, "
            f"{old.macs / 1e6:.5g} -> {new.macs / 1e6:.5g} M MACs",
        ]
        if self.widths:
            lines.append(f"{len(self.widths)} widths: {_pairs([(w.before, w.after) for w in self.widths])}")
        for stage in self.stages:
            said = f"not deepened: {stage.fixed_because}" if stage.fixed_because else f"{stage.before} -> {stage.after}"
            lines.append(f"stage {stage.where}: {said}")
        if not self.stages:
            lines.append("no stages: no blocks repeat one after another with the same shapes, so depth changes nothing")
        lines.append(f"{len(self.new)} tensors are freshly initialised; train the module before it is used")
        return "\n".join([*lines, *self.notes])


def _pairs(pairs: list[tuple[int, int]]) -> str:
    distinct = sorted(set(pairs))
    shown = ", ".join(f"{before} -> {after}" for before, after in distinct[:8])
    return shown + (", ..." if len(distinct) > 8 else "")


def scaling_report(module: nn.Module) -> ScalingReport | None:
    """What `scale_module` said of a module that it made; None for any other module."""
    found = module.__dict__.get(ATTRIBUTE)
    return found if isinstance(found, ScalingReport) else None
