"""`scale_module`: a module that nobody described, wider and deeper, or at a budget."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from triscale.errors import BudgetError, ModuleError
from triscale.modules.check import Answers, blamed, compare, copied_for_proof, original_shapes, prove
from triscale.modules.count import BYTES, ModuleCost, graph_cost
from triscale.modules.plan import STEPS, Analysis, Plan, analyse
from triscale.modules.recognise import recognised
from triscale.modules.report import ATTRIBUTE, ScaledStage, ScaledWidth, ScalingReport, scaling_report
from triscale.modules.resize import resized
from triscale.modules.solve import FURTHEST, over, solve
from triscale.modules.trace import analysis_copy, own_randomness, trace_copy
from triscale.spec.limits import Budget, parse
from triscale.spec.scaling import ALPHA

__all__ = ["scale_module", "scaling_report"]

NOT_AT_THIS_WIDTH = "fails at the new width or depth (an integer in its code?)"
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
    """A new module like `module`, deeper and wider, or at a budget. `module` itself is left as it was.

    Widths: every group of channels that are tied to each other becomes round(width x channels), in steps of 8 where the
    channels divide by 8, else of their largest power of two, of the width of its groups where a convolution has groups.
    Inputs and outputs (classes) keep their channels. Depth: every run of blocks becomes ceil(depth x length), by
    repeating its last block or dropping its last ones. Tensors whose size changed and the blocks that were added are
    freshly initialised (`scaling_report` names them); all else is kept: flags, hooks, tied weights, types, devices.
    Before it is returned the module has run forward on one image, two, and two of another size, and backward once.

    example_input: (B, channels, H, W), or whatever the module reads as its one argument.
    depth, width: multipliers. to: instead, a budget such as "macs<=2G, params<=8M": depth and width grow together as in
        compound scaling until a limit is reached; widths then fall to steps of 4 and 2 where that is needed.
    measures: "latency" (seconds) and "size" (bytes) of a module, where the budget limits them.
    recognise: a module that is a published network goes through its `Network`, and comes back as ours.
    Returns: a new nn.Module.
    Raises: ModuleError in one line that names operation and module path, for what cannot be scaled; BudgetError.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, section 3.
    """
    budget = _checked(example_input, depth, width, to)
    copied = analysis_copy(module)
    copied.eval()
    with own_randomness(example_input):
        answers = original_shapes(copied, example_input)
        known = recognised(module, example_input) if recognise else None
    if known is not None:
        return known.scaled(depth, width, budget, measures, answers)
    with own_randomness(example_input):
        analysis = analyse(copied, example_input, depth != 1.0 or budget is not None)
    _require_all_read(analysis)
    if budget is None:
        _require_something_to_scale(analysis, depth, width, type(module).__name__)
        plan = analysis.plan(depth, width)
    else:
        measured = {word: _of_plan(measure, module, analysis) for word, measure in (measures or {}).items()}
        plan = solve(analysis, budget, measured, type(module).__name__)
    _fits_memory(analysis.cost(plan, memory=False))
    made, new = resized(copied_for_proof(module), analysis, plan)
    with own_randomness(example_input):
        after = _proven(made, copied, example_input, analysis, plan, answers)
    assert budget is None or not over(budget, after)
    made.__dict__[ATTRIBUTE] = _report(analysis, plan, after, new, _notes(analysis, plan, after, answers, budget))
    return made


def _proven(
    made: nn.Module, original: nn.Module, example_input: Tensor, analysis: Analysis, plan: Plan, answers: Answers
) -> ModuleCost:
    """The cost of what was made, counted on its own trace, once it has done all that it must; original: a copy."""
    proof = copied_for_proof(made)
    try:
        graph = trace_copy(proof, example_input, NOT_AT_THIS_WIDTH)
        compare(graph, analysis, plan)
        prove(proof, original, answers)
    except ModuleError as error:
        raise blamed(error, analysis, plan) from None
    return graph_cost(graph, sum(parameter.numel() for parameter in made.parameters()))


def _of_plan(measure: Callable[[nn.Module], float], module: nn.Module, analysis: Analysis) -> Callable[[Plan], float]:
    """A measure of modules as one of plans."""

    def measured(plan: Plan) -> float:
        _fits_memory(analysis.cost(plan, memory=False))
        return measure(resized(copied_for_proof(module), analysis, plan)[0])

    return measured


def _require_all_read(analysis: Analysis) -> None:
    unused = analysis.graph.unused
    if unused:
        others = f" (and {len(unused) - 1} others)" if len(unused) > 1 else ""
        raise ModuleError(
            f"{unused[0]}: the traced path never uses this parameter{others}, so nothing tells how it should scale; "
            f"remove it, or scale the part of the module that runs in eval mode."
        )


def _require_something_to_scale(analysis: Analysis, depth: float, width: float, name: str) -> None:
    deepens = any(not stage.fixed_because for stage in analysis.stages)
    if (depth, width) != (1.0, 1.0) and not analysis.widths and not deepens:
        held = f" ({_held(analysis)})" if analysis.held else ""
        raise ModuleError(
            f"{name}: has nothing that depth={depth:g} and width={width:g} could change: inputs and outputs keep their "
            f"channels{held}, and no block repeats another with the same shapes."
        )


def _checked(example_input: Tensor, depth: float, width: float, to: str | None) -> Budget | None:
    """The budget, once everything that was given is sound."""
    if not isinstance(example_input, Tensor) or example_input.dim() < 2 or example_input.numel() == 0:
        found = tuple(example_input.shape) if isinstance(example_input, Tensor) else type(example_input).__name__
        raise ModuleError(f"example_input must be a tensor with a batch dimension, (B, channels, H, W), got {found}.")
    if example_input.layout != torch.strided:
        raise ModuleError(f"example_input must be a dense tensor, got {example_input.layout}; use its to_dense().")
    for name, value in (("depth", depth), ("width", width)):
        if not (isinstance(value, int | float) and 0 < value < math.inf):
            raise ModuleError(f"{name} must be a finite number above 0, got {value!r}.")
    if to is None:
        return None
    if not isinstance(to, str):
        raise BudgetError(f'a budget is a text such as "macs<=2G, params<=8M", got {to!r}.')
    if (depth, width) != (1.0, 1.0):
        raise BudgetError(f"a budget finds depth and width itself: give depth={depth:g}, width={width:g} or to={to!r}.")
    return parse(to)


def _report(
    analysis: Analysis, plan: Plan, after: ModuleCost, new: tuple[str, ...], notes: tuple[str, ...]
) -> ScalingReport:
    before = analysis.cost(analysis.plan())
    widths = [ScaledWidth(w.where, w.channels, plan.widths[w.group] * w.times) for w in analysis.widths]
    stages = [
        ScaledStage(stage.name, len(stage.units), length, stage.fixed_because)
        for stage, length in zip(analysis.stages, plan.lengths, strict=True)
    ]
    return ScalingReport(plan.depth, plan.width, before, after, tuple(widths), tuple(stages), new, notes)


def _notes(
    analysis: Analysis, plan: Plan, after: ModuleCost, answers: Answers, budget: Budget | None
) -> tuple[str, ...]:
    notes = [_held(analysis)] if analysis.held else []
    if budget is not None:
        values = after.values()
        used = [f"{values[word] / limit:.1%} of {word}" for word, limit in budget.limits.items() if word in values]
        notes += [f"uses {', '.join(used)}"] if used else []
        if plan.depth >= ALPHA**FURTHEST * 0.99:
            notes.append("is the largest that is tried: depth and width grow by no more than compound scaling's phi 20")
        if plan.step != STEPS[0]:
            notes.append(
                f"widths go in steps of {plan.step}: steps of {STEPS[0]} would leave more of the budget unused"
            )
    if len(answers) == 2 and answers[0][0].dim() == 4:
        notes.append("takes images of the example's size only, as the original does")
    return tuple(notes)


def _held(analysis: Analysis) -> str:
    more = f" and {len(analysis.held) - 1} others keep their" if len(analysis.held) > 1 else " keeps its"
    return f"{analysis.held[0]}{more} channels: they meet a tensor that is neither parameter nor buffer"


def _fits_memory(cost: ModuleCost) -> None:
    needed = 4 * BYTES * cost.params  # the module, its proof, its gradients and a copy while it is edited
    there = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if needed > there:
        raise ModuleError(
            f"the scaled module has {cost.params:,} parameters, which need {needed:,} bytes to build and prove; this "
            f"machine has {there:,}; scale less."
        )
