"""`scale_module`: a module that nobody described, wider and deeper, or at a budget."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from triscale.errors import ModuleError
from triscale.modules.check import compare, copied_for_proof, original_shapes, prove
from triscale.modules.count import BYTES, ModuleCost, graph_cost
from triscale.modules.plan import Analysis, Plan, analyse
from triscale.modules.report import ATTRIBUTE, ScaledStage, ScaledWidth, ScalingReport, scaling_report
from triscale.modules.resize import resized
from triscale.modules.trace import analysis_copy, trace_copy

__all__ = ["scale_module", "scaling_report"]

Measures = Mapping[str, Callable[[nn.Module], float]]


def scale_module(
    module: nn.Module,
    example_input: Tensor,
    depth: float = 1.0,
    width: float = 1.0,
    to: str | None = None,
    *,
    measures: Measures | None = None,
    recognise: bool = True,
) -> nn.Module:
    """A new module like `module`, deeper and wider, or at a budget; freshly initialised where sizes changed.
    """
    _check(example_input, depth, width)
    copied = analysis_copy(module)
    copied.eval()
    with torch.random.fork_rng(devices=[]):
        answers = original_shapes(copied, example_input)
        analysis = analyse(copied, example_input, depth != 1.0 or to is not None)
    if analysis.graph.unused:
        unused = analysis.graph.unused
        raise ModuleError(
            f"{unused[0]}: the traced path never uses this parameter{_others(len(unused) - 1)}, so nothing tells how it "
            f"should scale; remove it, or scale the part of the module that runs in eval mode."
        )
    plan = analysis.plan(depth, width)
    return _made(module, example_input, analysis, plan, answers)


def _others(count: int) -> str:
    return f" (and {count} others)" if count else ""


def _check(example_input: Tensor, depth: float, width: float) -> None:
    if not isinstance(example_input, Tensor) or example_input.dim() < 2 or example_input.numel() == 0:
        found = tuple(example_input.shape) if isinstance(example_input, Tensor) else type(example_input).__name__
        raise ModuleError(f"example_input must be a tensor with a batch dimension, (B, channels, H, W), got {found}.")
    for name, value in (("depth", depth), ("width", width)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ModuleError(f"{name} must be a finite number above 0, got {value!r}.")


def _made(module: nn.Module, example_input: Tensor, analysis: Analysis, plan: Plan, answers) -> nn.Module:
    _fits_memory(analysis.cost(plan, memory=False))
    made, new = resized(copied_for_proof(module), analysis, plan)
    with torch.random.fork_rng(devices=[]):
        graph = trace_copy(copied_for_proof(made), example_input)
        compare(graph, analysis, plan)
        prove(copied_for_proof(made), copied_for_proof(module), answers)
    after = graph_cost(graph, sum(parameter.numel() for parameter in made.parameters()))
    before = analysis.cost(analysis.plan())
    made.__dict__[ATTRIBUTE] = _report(analysis, plan, before, after, new)
    return made


def _report(analysis: Analysis, plan: Plan, before: ModuleCost, after: ModuleCost, new: tuple[str, ...]) -> ScalingReport:
    widths = [ScaledWidth(w.where, w.channels, plan.widths[w.group] * w.times) for w in analysis.widths]
    stages = [
        ScaledStage(stage.name, len(stage.units), length, stage.fixed_because)
        for stage, length in zip(analysis.stages, plan.lengths, strict=True)
    ]
    return ScalingReport(plan.depth, plan.width, before, after, tuple(widths), tuple(stages), new)


def _fits_memory(cost: ModuleCost) -> None:
    needed = 4 * BYTES * cost.params  # the module, its proof, its gradients and a copy while it is edited
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ModuleError(
            f"the scaled module has {cost.params:,} parameters, which need {needed:,} bytes to build and prove; this "
            f"machine has {there:,}; scale less."
        )
