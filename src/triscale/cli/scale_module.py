"""`triscale scale file.py:factory`: a module of the user's own at two multipliers, or at a budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from triscale.cli.output import count, print_json, print_table, size
from triscale.errors import SpecError
from triscale.spec.limits import COUNTED, parse, quantity

if TYPE_CHECKING:
    from triscale.modules.factory import Factory
    from triscale.modules.plain import PlainModel
    from triscale.spec.network import Size


def scale_own(
    reference: str,
    depth: float | None,
    width: float | None,
    to: str | None,
    pixels: int | None,
    out: Path | None,
    json: bool,
    foreign: Sequence[str] = (),
) -> int:
    """Scale the module that a factory makes, and say what it costs before and after.

    foreign: options that were given and belong to networks.
    """
    if foreign:
        raise SpecError(
            f"{foreign[0]} is for networks; a module of your own takes --depth and --width, or --to BUDGET."
        )
    if (depth, width, to) == (None, None, None):
        raise SpecError(f"scale takes --depth and --width, or --to BUDGET, for {reference}; give one of the two.")
    if out is not None and out.suffix != ".safetensors":
        raise SpecError(f"--out writes the weights of a scaled module, got {out.name!r}; end it in .safetensors.")
    import torch

    from triscale.cli.own import DEFAULT_SIZE, how_scaled, scaling_of
    from triscale.models.files import save
    from triscale.modules.build import build
    from triscale.modules.count import module_cost
    from triscale.modules.factory import load_factory
    from triscale.modules.plain import example
    from triscale.spec.network import as_size

    scaling, shape = scaling_of(depth, width, to), DEFAULT_SIZE if pixels is None else as_size(pixels)
    factory = load_factory(reference)
    torch.manual_seed(0)  # fresh weights are the same each time

    def costs(model: PlainModel) -> dict[str, float]:
        return module_cost(model.module, example(model.module, model.in_channels, shape, batch=1)).values()

    before = costs(build(factory, shape).model)
    model = build(factory, shape, scaling=scaling).model
    after, origin = costs(model), model.origin
    if out is not None:
        save(model, out)
    if json:
        called = {"depth": origin.depth, "width": origin.width} if factory.scales_itself else None
        print_json({"module": model.description()["module"], "called_with": called, "before": before, **after})
        return 0
    _print(factory, shape, before, after, to)
    for line in how_scaled(model, factory):
        print(line)
    options = _options(depth, width, to)
    if factory.scales_itself:
        options = _options(origin.depth, origin.width, None)
    print(f"train it: triscale train {reference} DATA --size {shape[0]} {options}")
    print(f"written to {out}" if out else "add --out FILE.safetensors to keep its weights")
    return 0


def _print(
    factory: Factory, shape: Size, before: Mapping[str, float], after: Mapping[str, float], to: str | None
) -> None:
    print(f"{factory.reference} at {shape[0]} x {shape[1]} px")
    print_table(("module", *COUNTED), [_row("as it is", before), _row("scaled", after)])
    if to is not None:
        budget = parse(to)
        for word, share in budget.used(after).items():
            print(f"{word}: {quantity(word, after[word])} of {quantity(word, budget.limits[word])} ({share:.1%})")


def _row(name: str, costs: Mapping[str, float]) -> tuple[str, ...]:
    return name, *(size(costs[word]) if word == "memory" else count(costs[word]) for word in COUNTED)


def _options(depth: float | None, width: float | None, to: str | None) -> str:
    if to is not None:
        return f'--to "{to}"'
    return " ".join(f"--{name} {value:g}" for name, value in (("depth", depth), ("width", width)) if value is not None)
