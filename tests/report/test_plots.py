"""Plots as SVG."""

import math
import sys
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from tests.report.sample import sample
from triscale.errors import MissingExtraError
from triscale.report.model import Candidate, EpochPoint, LimitResult
from triscale.report.plots import curves, trade_off

SVG = "{http://www.w3.org/2000/svg}"
LIMITS = (LimitResult("macs", 60e6, 50e6, "", True), LimitResult("latency", 0.004, 0.003, "", True))


def words(svg):
    return [text.text for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def option(name, macs, score=None, chosen=False, **more):
    return Candidate(name, "", {"macs": macs, **more}, score, chosen, "")


def test_the_trade_off_names_every_candidate_and_the_limit(tmp_path):
    report = sample(tmp_path)
    said = words(trade_off(report.candidates, report.limits, report.score_name))
    assert {c.name for c in report.candidates} <= set(said)
    assert {"latency", " latency ≤ 2ms ", "ImageNet top-1 as published"} <= set(said)  # the tightest of the limits


def test_without_scores_two_costs_are_drawn():
    options = [option("a", 50e6, latency=0.003, chosen=True), option("b", 90e6, latency=0.005)]
    said = words(trade_off(options, LIMITS))
    assert {"MACs", "latency", " macs ≤ 60M ", " latency ≤ 4ms "} <= set(said)


def test_a_cost_that_few_were_measured_in_hides_nobody():
    options = [option("a", 5e7, 0.7, True, latency=0.003), option("b", 9e7, 0.8, latency=0.005), option("c", 4e7, 0.6)]
    assert {"a", "b", "c", "MACs"} <= set(words(trade_off(options, LIMITS)))


def test_what_is_no_number_is_not_placed():
    options = [option("a", 5e7, 0.7, True), option("b", 9e7, 0.8, latency=math.inf), option("c", math.nan, 0.6)]
    said = words(trade_off([*options, option("d", 4e7, math.nan)], LIMITS))
    assert {"a", "b", "MACs"} <= set(said) and not {"c", "d"} & set(said)


@pytest.mark.parametrize("candidates", [[], [option("a", 5e7, 0.7, True)], [option("a", 5e7), option("b", 6e7)]])
def test_fewer_than_two_points_are_no_picture(candidates):
    assert trade_off(candidates, LIMITS) == ""


@pytest.mark.parametrize("name", ["$x_{", "a & <b>", "日本語", "\x07bell", "𝓯" * 50, r"\frac"])
def test_any_name_can_be_drawn(name):
    svg = trade_off([option(name, 5e7, 0.7, True), option("b", 6e7, 0.8)], LIMITS)
    assert "b" in words(svg)


def test_curves_show_what_was_recorded():
    points = [EpochPoint(float(e), 2.0 - e / 5, 2.1 - e / 5, e / 10, e / 9 if e else None, 0.01) for e in range(5)]
    assert {"loss", "top-1", "learning rate", "training", "validation", "averaged weights", "epoch"} <= set(
        words(curves(points))
    )
    assert "top-1" not in words(curves([replace(p, top1=None, top1_ema=None) for p in points]))
    assert curves([]) == ""


def test_the_same_numbers_give_the_same_bytes(tmp_path):
    report = sample(tmp_path)
    assert trade_off(report.candidates, report.limits) == trade_off(report.candidates, report.limits)
    assert curves(report.curve) == curves(report.curve)


def test_plots_stand_in_one_page_without_disturbing_it(tmp_path):
    report = sample(tmp_path)
    svg = curves(report.curve)
    identities = [e.get("id") for e in ElementTree.fromstring(svg).iter() if e.get("id")]
    assert identities and all(each.startswith("curves-") for each in identities)
    assert "<style" not in svg and "<metadata" not in svg
    assert len(svg) < 60_000


def test_without_matplotlib_the_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'triscale\[train\]'"):
        curves([EpochPoint(1.0, 0.5)])
