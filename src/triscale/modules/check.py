"""Proof that a scaled module works: it is run, and traced again, and must be exactly what was planned."""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from triscale.errors import ModuleError
from triscale.modules.count import CONVOLUTIONS
from triscale.modules.flow import all_fixed
from triscale.modules.plan import Analysis, Plan, expected
from triscale.modules.trace import Graph, Node, Shape, located, one_line

# Operations that code gives sizes or places to; a slice of the whole is an alias.
NUMBERED = {
    *(
        "alias",
        "slice",
        "narrow",
        "split",
        "split_with_sizes",
        "view",
        "reshape",
        "unflatten",
        "expand",
        "repeat",
        "select",
    ),
    *("zeros", "ones", "full", "new_zeros", "new_ones", "new_full", "pad"),
}
Answers = list[tuple[Tensor, list[Shape]]]

FURTHER = 32  # pixels that the second image size has more on each side


def original_shapes(copied: nn.Module, example_input: Tensor) -> Answers:
    """What the original answers to one image, to two, and to two larger ones if it takes them.

    copied: a copy in eval mode that may be run.
    Returns: pairs of an input and the shapes of its answer.
    Raises: ModuleError naming the place when it does not run, or when it is made for one number of images.
    """
    one = example_input[:1]
    two = torch.cat([one, one])
    with torch.no_grad():
        with located(copied, "does not run on the example"):
            first = _shapes(copied(one))
        with located(copied, "runs on one image but not on two (a reshape with a fixed number of images?)"):
            second = _shapes(copied(two))
        if any(one[:1] == (1,) and other != (2, *one[1:]) for one, other in zip(first, second, strict=True)):
            raise ModuleError(
                f"{type(copied).__name__}: answers one image with {_listed(first)} and two with {_listed(second)}: a "
                f"reshape in it has a fixed number of images; use x.flatten(1) or x.shape[0] there."
            )
        answers = [(one, first), (two, second)]
        if example_input.dim() == 4 and example_input.is_floating_point():
            larger = functional.interpolate(two, size=[size + FURTHER for size in two.shape[2:]])
            try:
                answers.append((larger, _shapes(copied(larger))))
            except Exception:
                return answers
    return answers


def prove(made: nn.Module, original: nn.Module, answers: Answers) -> None:
    """Run a scaled module as its original was run, forward and once backward, and compare what comes out.

    made, original: copies that may be run and trained. answers: of `original_shapes`.
    Raises: ModuleError naming the place where it fails.
    """
    made.eval()
    with torch.no_grad():
        for images, shapes in answers:
            size = "x".join(map(str, images.shape))
            with located(made, f"fails at the new width or depth (input {size}; an integer in its code?)"):
                found = _shapes(made(images))
            if found != shapes:
                raise ModuleError(
                    f"{type(made).__name__}: answers an input of {size} with {_listed(found)} where the original gives "
                    f"{_listed(shapes)}; something in its code holds a number that does not scale."
                )
    images = answers[1][0]
    trained = _without_gradient(original, images)
    missing = _without_gradient(made, images)
    if trained is None:
        return  # the original itself cannot be trained so: nothing to compare with
    if missing is None:
        raise ModuleError(f"{type(made).__name__}: runs backward only at its own width and depth.")
    lost = [name for name in missing if _tail(name) not in {_tail(each) for each in trained}]
    if lost:
        raise ModuleError(f"{lost[0]}: gets no gradient at the new width or depth, and did before.")


def _tail(name: str) -> str:
    """The end of a parameter's name: repeated blocks have other numbers in front."""
    return ".".join(name.split(".")[-2:])


def _without_gradient(module: nn.Module, images: Tensor) -> list[str] | None:
    """Parameters that one backward in training mode leaves without a gradient; None when it cannot be run."""
    module.train()
    module.zero_grad(set_to_none=True)
    try:
        with torch.enable_grad():
            answer = [tensor for tensor in _flat(module(images)) if tensor.is_floating_point()]
            loss = torch.stack([tensor.float().square().mean() for tensor in answer]).sum()
        if not loss.requires_grad:
            return [name for name, parameter in module.named_parameters() if parameter.requires_grad]
        loss.backward()
    except Exception:
        return None
    wanted = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
    lost = [name for name, parameter in wanted if parameter.grad is None]
    module.zero_grad(set_to_none=True)
    return lost


def _shapes(answer: Any) -> list[Shape]:
    return [tuple(tensor.shape) for tensor in _flat(answer)]


def _flat(answer: Any) -> Iterator[Tensor]:
    if isinstance(answer, Tensor):
        yield answer
    elif isinstance(answer, dict):
        yield from _flat(list(answer.values()))
    elif isinstance(answer, list | tuple):
        for each in answer:
            yield from _flat(each)


def blamed(error: ModuleError, analysis: Analysis, plan: Plan) -> ModuleError:
    """An error of running a scaled module, told by the nearest operation before it whose number stands in the code."""
    if not error.reason:
        return error
    numbered = [node for node in _before(error.place, analysis) if node.op in NUMBERED or _counts_groups(node)]
    numbered = [node for node in numbered if not all_fixed(analysis.dims[node])]
    guilty = next((node for node in numbered if _literally(node, analysis, plan) != analysis.shapes(node, plan)), None)
    if guilty is None:
        return error
    operation = "slice" if guilty.op == "alias" else guilty.op
    return ModuleError(
        f"{guilty.path}: {operation} takes a number from the code that names a width, so that "
        f"{error.place or 'the module'} fails at another width ({error.reason}); compute it from the input's shape."
    )


def _counts_groups(node: Node) -> bool:
    """A grouped convolution that is no layer: its code, not a layer's attribute, says how many groups there are."""
    return node.op in CONVOLUTIONS and node.arguments["groups"] != 1 and node.arguments["weight"].kind != "parameter"


def _before(place: str, analysis: Analysis) -> Iterator[Node]:
    """The operations of the module at `place` (the outermost: "") and those that they depend on, nearest first."""
    paths = {node: node.calls[-1][1] if node.calls else "" for node in analysis.graph.calls}
    nodes = [n for n, path in paths.items() if path == place or (place and path.startswith(f"{place}."))]
    waiting, seen = deque(nodes), set(nodes)
    while waiting:
        node = waiting.popleft()
        yield node
        fresh = [source for source in node.inputs() if source.kind == "call" and source not in seen]
        seen.update(fresh)
        waiting += fresh


def _literally(node: Node, analysis: Analysis, plan: Plan) -> tuple[Shape, ...]:
    """The shapes that an operation makes in a plan, if its numbers are those of the trace; () where it cannot run."""

    def planned(value: Any) -> Any:
        if isinstance(value, Node):
            return torch.empty(analysis.shape(value, plan), device="meta")
        return [planned(each) for each in value] if isinstance(value, list) else value

    if node.op == "alias":  # a slice of all the channels that there were
        return (node.shape,)
    try:
        made = node.target(**{name: planned(value) for name, value in node.arguments.items() if name != "device"})
    except Exception:
        return ()
    return tuple(_shapes(made))


def compare(graph: Graph, analysis: Analysis, plan: Plan) -> None:
    """The trace of a scaled module against its plan, operation by operation.

    Raises: ModuleError naming the first operation that is another, or makes another shape, and where it is.
    """
    wanted = expected(analysis, plan)
    for node, (model, shapes) in zip(graph.calls, wanted, strict=False):
        found = _results(node)
        if node.op != model.op:
            raise ModuleError(
                f"{node.path}: runs {node.op} where {model.op} was expected after scaling; its code takes another path "
                f"at another width or depth."
            )
        if shapes and found != shapes:
            raise ModuleError(
                f"{node.path}: {node.op} makes {_listed(found)} where its width should be {_listed(shapes)}: an "
                f"integer in the code names a width; compute it from the input's shape."
            )
    if len(graph.calls) != len(wanted):
        longer = (graph.calls + [pair[0] for pair in wanted])[-1]
        raise ModuleError(
            f"{longer.path}: {len(graph.calls)} operations run after scaling where {len(wanted)} were expected; its "
            f"code does not go through its blocks one by one."
        )


def _results(node: Node) -> tuple[Shape, ...]:
    if node.shape is None:
        return ()
    return (node.shape,) if all(isinstance(size, int) for size in node.shape) else tuple(node.shape)


def _listed(shapes: Sequence[Shape]) -> str:
    return " and ".join("x".join(map(str, shape)) for shape in shapes)


def copied_for_proof(module: nn.Module) -> nn.Module:
    """A copy to run and train; the module stays as it is."""
    try:
        return copy.deepcopy(module)
    except Exception as error:
        raise ModuleError(f"{type(module).__name__} cannot be copied ({one_line(error)}).") from None
