"""Released networks beside the rule that is said to have made them, and the phi that fits each best."""

from __future__ import annotations

import math
from typing import NamedTuple

from triscale.spec.cost import cost
from triscale.spec.families import NETWORKS, list_networks, network
from triscale.spec.network import Network
from triscale.spec.published import Figure, figures
from triscale.spec.rules import COMPOUND, Multipliers, Rule
from triscale.spec.scaling import compound


class Released(NamedTuple):
    """A member of a family, as its owners multiplied the baseline."""

    name: str
    multipliers: Multipliers


class Scaled(NamedTuple):
    """What one way of scaling gives.

    multipliers: of depth, width and resolution. pixels: of a side. widths: output channels of every stage.
    params, macs: counted, macs at those pixels.
    """

    multipliers: Multipliers
    pixels: int
    blocks: int
    widths: tuple[int, ...]
    params: int
    macs: int


class Phis(NamedTuple):
    """Which phi a released network would need.

    depth, width, resolution: each multiplier alone; nan where the rule does not change it.
    macs: log2 of its MACs over the baseline's. best: see `best_phi`.
    """

    depth: float
    width: float
    resolution: float
    macs: float
    best: float


class Comparison(NamedTuple):
    """A released network, the rule at `phi`, and by how much the first is above the second (0.01 is one per cent)."""

    name: str
    phi: float
    needed: Phis
    released: Scaled
    rule: Scaled
    difference: dict[str, float]


def baseline_of(name: str) -> str | None:
    """The baseline of the family to which a name belongs, "efficientnet_b0" for "efficientnet_b3"; None without one."""
    family = _family(name)
    return family[0].name if family else None


def released_members(name: str) -> tuple[Released, ...]:
    """The members of a name's family beyond its baseline, smallest first; none where nothing else was released."""
    return _family(name)[1:]


def best_phi(multipliers: Multipliers, rule: Rule = COMPOUND) -> float:
    """The phi whose alpha^phi, beta^phi and gamma^phi are nearest to the three multipliers.

    Nearest: the least sum of the squared differences of their logarithms.
    """
    steps = [math.log(base) for base in (rule.alpha, rule.beta, rule.gamma)]
    grown = [math.log(each) for each in multipliers]
    return sum(s * g for s, g in zip(steps, grown, strict=True)) / sum(s * s for s in steps)


def compare_released(member: Released, rule: Rule = COMPOUND, phi: float | None = None) -> Comparison:
    """A released network beside what the rule makes of its family's baseline.

    phi: at which to compare; by default the one that fits the three multipliers best.
    Source: EfficientNet, https://arxiv.org/abs/1905.11946, equation 3; no phi of a released network was published.
    """
    base, net = network(_family(member.name)[0].name), network(member.name)
    needed = _needed(member.multipliers, cost(net).macs / cost(base).macs, rule)
    phi = needed.best if phi is None else phi
    released = _scaled(net, member.multipliers)
    ruled = _scaled(compound(base, phi, rule.alpha, rule.beta, rule.gamma), rule.multipliers(phi))
    return Comparison(member.name, phi, needed, released, ruled, _difference(released, ruled))


def scaled_families() -> tuple[str, ...]:
    """The baselines of all families of which other sizes were released."""
    return tuple(
        name for name in list_networks() if not name.startswith("tf_") and len(_family(name)) > 1 and _is_first(name)
    )  # fmt: skip


def released_accuracies(name: str) -> tuple[tuple[str, Figure], ...]:
    """Published accuracies of the family that `name` belongs to: (member, figure), the baseline among them.

    All are of one source and one kind of weights, trained on ImageNet alone, so that they can be compared: the first
    that is known of the baseline (papers before owners) and of another member. Empty where there is none.
    """
    members = [member.name for member in _family(name)]
    plain = [(member, figure) for member in members for figure in figures(member) if not figure.extra]
    for first in figures(members[0]) if members else ():
        alike = [(m, f) for m, f in plain if (f.source, f.weights) == (first.source, first.weights)]
        if len(alike) > 1:
            return tuple(alike)
    return ()


def _is_first(name: str) -> bool:
    return _family(name)[0].name == name


def _family(name: str) -> tuple[Released, ...]:
    """Every member of the family that `name` belongs to, the baseline first; empty without a family of several."""
    if name not in NETWORKS:
        return ()
    members = NETWORKS[name].family.members
    owner = "" if name in members else "tf_"
    base = next((each for each in members.values() if each.width == each.depth == 1), None)
    if base is None:
        return ()
    family = tuple(
        Released(
            f"{owner}{each}",
            Multipliers(member.depth / base.depth, member.width / base.width, member.resolution / base.resolution),
        )
        for each, member in members.items()
    )  # fmt: skip
    baseline = next(each for each in family if each.multipliers == (1, 1, 1))
    return baseline, *(each for each in family if each is not baseline)


def _needed(multipliers: Multipliers, macs: float, rule: Rule) -> Phis:
    def alone(multiplier: float, base: float) -> float:
        return math.nan if base == 1 else math.log(multiplier) / math.log(base)

    depth, width, resolution = map(alone, multipliers, (rule.alpha, rule.beta, rule.gamma))
    return Phis(depth, width, resolution, math.log2(macs), best_phi(multipliers, rule))


def _scaled(net: Network, multipliers: Multipliers) -> Scaled:
    own = cost(net)
    widths = tuple(each.channels for each in net.stages)
    blocks = sum(len(each.blocks) for each in net.stages)
    return Scaled(multipliers, net.resolution[0], blocks, widths, own.params, own.macs)


def _difference(released: Scaled, rule: Scaled) -> dict[str, float]:
    """Released over rule, minus 1; `channels` is of the sum of all stages' widths."""
    pairs = dict(zip(Multipliers._fields, zip(released.multipliers, rule.multipliers, strict=True), strict=True))
    pairs |= {"channels": (sum(released.widths), sum(rule.widths))}
    pairs |= {word: (getattr(released, word), getattr(rule, word)) for word in ("pixels", "blocks", "params", "macs")}
    return {word: ours / theirs - 1 for word, (ours, theirs) in pairs.items()}
