"""`report.html` of a search for coefficients: whether it won, what was found, every candidate, curves of scaling."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from triscale import atomic
from triscale.report.html import Html, badge, bullets, code, drawn, element, facts, join, paragraph, section, table
from triscale.report.page import whole_page
from triscale.report.search_plots import candidates_plot, curves_plot
from triscale.report.text import duration
from triscale.search.candidate import Candidate
from triscale.search.coefficients import Ranked
from triscale.search.comparison import Comparison
from triscale.search.honesty import Honesty, headline
from triscale.search.noise import Estimate
from triscale.search.result import CoefficientResult
from triscale.spec.limits import quantity
from triscale.spec.network import Network


@dataclass(frozen=True, slots=True)
class Searched:
    """What was searched on, as the pages of all searches show it.

    baseline: its name; asked_for: as it was typed. command: as typed. folder: of the run. data: what was learnt from,
        in words. preset: its name. trained: whether the winner was kept with its weights.
    """

    baseline: str
    asked_for: str
    command: str
    folder: str
    data: str
    preset: str
    trained: bool
    environment: Mapping[str, object]


def write_search_report(result: CoefficientResult, on: Searched, path: str | Path) -> None:
    """Write the page as one self-contained HTML file, atomically. Raises: FileError when it cannot be written."""
    parts = [_step1(result, on), _candidates(result), _step2(result)]
    if result.honesty is not None:
        parts.insert(0, compared(result.honesty))
    if result.curves is not None:
        parts.append(_curves(result.curves, result.base.macs))
    found = result.step1.coefficients
    figures = [
        ("α, β, γ", str(found)),
        ("counted cost", f"{result.step1.winner.proposal.counted:.3f} x"),
        ("α·β²·γ²", f"{found.formula:.3f}"),
        ("trainings", f"{result.trainings:,}"),
        ("time", duration(result.seconds)),
    ]
    parts += closing(on, result.family[0])
    header = join([element("h1", f"Coefficients of {on.baseline}"), verdict(result.honesty, figures)])
    atomic.write_text(path, whole_page(f"{on.baseline}: coefficients", header, parts))


def verdict(honesty: Honesty | None, figures: Sequence[tuple[str, object]]) -> Html:
    """Whether the search won, before anything else, and the figures that people ask for first."""
    said = headline(honesty)
    won = honesty is not None and said.startswith("The search won")
    word = "won" if won else "not compared yet" if honesty is None else "did not win"
    return join([paragraph(join([badge(word, good=won), " ", said], ""), "verdict"), facts(figures)])


def compared(found: Honesty) -> Html:
    """The winner beside its rivals."""
    own = found.contenders[0]
    rows = [
        (
            each.way,
            each.candidate.multipliers,
            quantity("macs", each.candidate.macs),
            quantity("params", each.candidate.params),
            _score(each.val),
            _score(each.test),
        )
        for each in found.contenders
    ]
    noise = "unknown" if found.noise is None else f"{found.noise:.2%}"
    return section(
        "honesty",
        "Did the search win?",
        [
            paragraph(found.headline()),
            table(
                ("how it was come by", "multipliers", "MACs", "parameters", "validation", "test"),
                rows,
                styles=("name", "", *["number"] * 4),
                chosen=found.contenders.index(own),
            ),
            paragraph(
                f"All trained for {found.steps} steps with the same seeds; mean, lowest and highest. Standard "
                f"deviation of one {found.split} score: {noise}. Two means are told apart from two standard errors of "
                f"their difference on. The search took {found.searched:,} training steps, the random search "
                f"{found.random_steps:,} on {found.tried} candidates. Test images were read for this table alone.",
                "note",
            ),
        ],
    )


def _step1(result: CoefficientResult, on: Searched) -> Html:
    step1 = result.step1
    rounds = "; ".join(
        f"{rung.steps} steps with {rung.seeds} seed{'s' if rung.seeds > 1 else ''}" for rung in step1.rungs
    )
    return section(
        "step1",
        "STEP 1: the coefficients",
        [
            paragraph(step1.sentence() + "."),
            paragraph(
                f"Successive halving in {len(step1.rungs)} rounds: {rounds} (preset {on.preset}). Data: {on.data}.",
                "note",
            ),
            drawn(lambda: candidates_plot(step1)),
        ],
    )


def _candidates(result: CoefficientResult) -> Html:
    step1 = result.step1
    titles = (
        "α", "β", "γ", "α·β²·γ²", "counted", "MACs", "parameters", "pixels", "steps", "top-1", "the same network",
    )  # fmt: skip
    rows = [_row(each, step1.rungs[each.standing.rung].steps) for each in (*step1.ranked, *step1.beside)]
    note = (
        "Scores are comparable among rows of equal steps. The paper's own 1.2, 1.1, 1.15 are always here; where their "
        "counted cost is outside of the constraint, they were trained in the first round alone."
    )
    styles = ["number"] * 10 + ["why"]
    return section(
        "candidates", "Every candidate", [table(titles, rows, styles=styles, chosen=0), paragraph(note, "note")]
    )


def _row(ranked: Ranked, steps: int) -> Sequence[object]:
    proposal, candidate = ranked.proposal, ranked.proposal.candidate
    found = proposal.coefficients
    outside = "" if proposal.inside else " (outside)"
    return (
        f"{found.alpha:.4g}",
        f"{found.beta:.4g}",
        f"{found.gamma:.4g}",
        f"{found.formula:.3f}",
        f"{proposal.counted:.3f}{outside}",
        quantity("macs", candidate.macs),
        quantity("params", candidate.params),
        candidate.size[0],
        steps,
        _score(ranked.estimate),
        f"{len(proposal.others)} others" if proposal.others else "",
    )


def _step2(result: CoefficientResult) -> Html:
    rows = [
        (phi, quantity("macs", each.macs), quantity("params", each.params), each.size[0], f"family/phi-{phi}.json")
        for phi, each in enumerate(result.family, start=1)
    ]
    return section(
        "step2",
        "STEP 2: the family",
        [table(("φ", "MACs", "parameters", "pixels", "file"), rows, styles=(*["number"] * 4, "name"))],
    )


def _curves(found: Comparison, macs: int) -> Html:
    rows = [
        (
            each.way if each.way == "compound" else f"{each.way} only",
            each.candidate.multipliers,
            quantity("macs", each.candidate.macs),
            _score(each.estimate),
        )
        for way in found.ways
        for each in found.curve(way)
    ]
    return section(
        "curves",
        "One dimension alone, or all three",
        [
            drawn(lambda: curves_plot(found, macs)),
            table(("what is scaled", "multipliers", "MACs", "top-1"), rows, styles=("name", "", "number", "number")),
            paragraph(
                f"{found.steps} steps each, {found.seeds} seeds; bars from the lowest to the highest. After so few "
                f"steps a curve tells how fast networks learn as much as how well.",
                "note",
            ),
        ],
    )


def closing(on: Searched, made: Candidate) -> list[Html]:
    """Commands that take the result, the command that made it, and what it ran on."""
    if isinstance(made.made, Network):
        file = f"{on.folder}/network.json"
        lines = [
            f"triscale train {file} DATA",
            f"triscale scale {file} --to 'macs<=1G'",
            f"triscale export {file} model.onnx",
        ]
        kept = [f"triscale predict {on.folder}/winner IMAGES", f"triscale export {on.folder}/winner winner.onnx"]
    else:
        depth, width, _ = made.multipliers
        options = f"--depth {depth:.6g} --width {width:.6g} --size {made.size[0]}"
        lines = [f"triscale train {on.asked_for} DATA {options}", f"triscale scale {on.asked_for} {options}"]
        kept = [f"triscale predict {on.folder}/winner IMAGES --module {on.asked_for}"]
    items = [f"{name}: {value}" for name, value in on.environment.items()]
    return [
        section("use", "How to use it", [code("\n".join([*lines, *(kept if on.trained else ())]))]),
        section("environment", "How it was made", [code(on.command), bullets(items)]),
    ]


def _score(found: Estimate | None) -> str:
    if found is None:
        return "–"
    if found.seeds == 1:
        return f"{found.mean:.1%}"
    return f"{found.mean:.1%} ({found.lowest:.1%} to {found.highest:.1%})"
