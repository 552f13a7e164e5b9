"""The language of budgets: "macs<=1.2G, params<=8M" as data, and what a network uses of one."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal

from triscale.errors import BudgetError
from triscale.spec.cost import cost
from triscale.spec.subject import Subject

Measure = Callable[[Subject], float]

COUNTED = ("params", "macs", "activations", "memory")
MEASURED = ("latency", "size")

_COUNTS = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BYTES = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9, "KiB": 2.0**10, "MiB": 2.0**20, "GiB": 2.0**30}
_SECONDS = {"us": 1e-6, "ms": 1e-3, "s": 1.0}
UNITS: dict[str, dict[str, float]] = {
    "params": _COUNTS,
    "macs": _COUNTS,
    "activations": _COUNTS,
    "memory": _BYTES,
    "size": _BYTES,
    "latency": _SECONDS,
}

_LIMIT = re.compile(r"\s*([A-Za-z_]+)\s*(<=|≤)\s*([0-9][0-9_]*\.?[0-9]*(?:[eE][+-]?[0-9]+)?)\s*([A-Za-zµ]*)\s*")


@dataclass(frozen=True, slots=True)
class Budget:
    """Hard limits, by word: counts as such, memory and size in bytes, latency in seconds."""

    limits: Mapping[str, float]

    def __str__(self) -> str:
        return ", ".join(f"{word}<={quantity(word, limit)}" for word, limit in self.limits.items())

    def used(self, values: Mapping[str, float]) -> dict[str, float]:
        """Share of each limit that `values` uses; above 1 is over."""
        return {word: values[word] / limit for word, limit in self.limits.items()}


def parse(text: str) -> Budget:
    """Read a budget such as "macs<=1.2G, params<=8M, latency<=12ms".

    Words: macs, params, activations (K, M, G, T); memory, size (B, KB, MB, GB, KiB, MiB, GiB); latency (us, ms, s).
    Raises: BudgetError naming the word, the unit or the place that cannot be read.
    """
    limits: dict[str, float] = {}
    for part in text.split(","):
        if not part.strip():
            found = "there is nothing beside one of its commas" if text.strip() else "it is empty"
            raise BudgetError(f'budget {text!r}: {found}; write limits as "macs<=1G, params<=8M".')
        match = _LIMIT.fullmatch(part)
        if match is None:
            raise BudgetError(f'budget {text!r}: cannot read {part.strip()!r}; write limits as "macs<=1G, params<=8M".')
        word, _, number, unit = match.groups()
        if word not in UNITS:
            near = difflib.get_close_matches(word.lower(), UNITS, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}? " if near else ""
            if word.lower() in ("flops", "flop", "madds"):
                hint = "multiply-accumulates are called 'macs' here. "
            raise BudgetError(f"budget {text!r}: unknown word {word!r}; {hint}Known: {', '.join(UNITS)}.")
        if word in limits:
            raise BudgetError(f"budget {text!r}: {word} is limited twice; give it once.")
        units = UNITS[word]
        factor = units.get(unit.replace("µ", "u"), units.get(unit.upper()))
        if factor is None:
            known = ", ".join(each for each in units if each)
            raise BudgetError(f"budget {text!r}: {word} has unknown unit {unit!r}; known: {known}.")
        limits[word] = float(Decimal(number.replace("_", "")) * Decimal(repr(factor)))  # 8.2M is 8,200,000 exactly
        if not 0 < limits[word] < math.inf:
            raise BudgetError(f"budget {text!r}: {word} must be above zero and finite, got {number}{unit}.")
    return Budget(limits)


def quantity(word: str, value: float, *, up: bool = False) -> str:
    """A value of a budget word with the largest unit that keeps it at or above 1; `up` never rounds it down."""
    units = UNITS[word]
    plain = [(name, factor) for name, factor in units.items() if "i" not in name]
    name, factor = max((u for u in plain if value >= u[1]), key=lambda u: u[1], default=plain[0])
    shown = value / factor
    if up and 0 < shown < math.inf and float(f"{shown:.4g}") < shown:
        step = 10.0 ** (math.floor(math.log10(shown)) - 3)
        shown = math.ceil(shown / step) * step
    return f"{shown:.4g}{name}"


def counted(network: Subject) -> dict[str, float]:
    """The four costs that are arithmetic, by budget word, at the network's (or detector's) own resolution."""
    own = cost(network)
    return {"params": own.params, "macs": own.macs, "activations": own.activations, "memory": own.memory}


def measured(network: Subject, budget: Budget, measures: Mapping[str, Measure[Subject]]) -> dict[str, float]:
    """Every value that `budget` limits; measures are called only where the arithmetic is inside already."""
    values = counted(network)
    if all(values[word] <= limit for word, limit in budget.limits.items() if word in COUNTED):
        values |= {word: measures[word](network) for word in budget.limits if word in MEASURED}
    else:
        values |= {word: math.inf for word in budget.limits if word in MEASURED}
    return values
