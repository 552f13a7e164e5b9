"""Runs side by side: their curves, the classes in which they differ, and the page."""

import pytest

from tests.report.test_page import Page
from triscale.report.comparison import (
    ComparedRun,
    EpochScore,
    class_differences,
    draw_curves,
    draw_trade_off,
    score_title,
    write_comparison,
)


def run(name, top1=None, epochs=3, marks="", macs=10**6, **metrics):
    curve = tuple(EpochScore(e + 1, 2.0 * (e + 1), 0.5 + 0.1 * e, 0.4 + 0.15 * e) for e in range(epochs))
    found = {} if top1 is None else {"top1": top1, "macs": macs, "best_epoch": 2, **metrics}
    return ComparedRun(name, "done" if top1 else "running", marks, found, curve)


def test_the_kept_epoch_tells_raw_and_ema():
    kept = run("a", 0.6).chosen
    assert (kept.epoch, kept.raw, kept.ema, kept.best) == (2, pytest.approx(0.6), pytest.approx(0.55), kept.raw)
    assert run("b").chosen is None
    assert EpochScore(1, 0.0, None, None).best is None


def test_a_curve_has_a_point_for_each_epoch_by_number_and_by_time():
    drawing = draw_curves([run("runs/one", 0.7, epochs=4), run("runs/two $x$", epochs=2), run("three", epochs=0)])
    by_epoch, by_time = drawing.axes
    assert [list(line.get_xdata()) for line in by_epoch.lines] == [[1, 2, 3, 4], [1, 2]]
    assert list(by_time.lines[0].get_xdata()) == [2.0, 4.0, 6.0, 8.0]
    assert list(by_time.lines[0].get_ydata()) == pytest.approx([0.5, 0.6, 0.7, 0.85])  # the better of raw and EMA
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["runs/one", "runs/two $x$"]
    assert draw_curves([run("a", epochs=0)]) is None


def test_the_classes_that_differ_most_come_first():
    first = run("a", 0.7, per_class={"ant": 0.9, "bee": 0.5, "cat": 0.8, "elk": 1.0})
    second = run("b", 0.6, per_class={"ant": 0.8, "bee": 0.5, "cat": 0.4, "dog": 1.0})
    found = class_differences(first, second)
    assert [(each.name, each.second - each.first) for each in found] == [
        ("cat", pytest.approx(-0.4)),
        ("ant", pytest.approx(-0.1)),
    ]
    assert class_differences(first, run("b", 0.6, marks="*", per_class={"ant": 0.1})) == ()


def test_the_score_is_called_what_all_runs_have():
    several = ComparedRun("b", "done", "", {"map": 0.5})
    assert score_title([run("a", 0.7), run("b")]) == "top-1"
    assert score_title([several]) == "mAP"
    assert score_title([run("a", 0.7), several]) == "score"
    assert several.score == 0.5


def test_accuracy_against_macs_needs_two_that_differ():
    assert "<svg" in draw_trade_off([run("a", 0.7), run("b", 0.6, macs=2 * 10**6)])
    assert draw_trade_off([run("a", 0.7)]) == draw_trade_off([run("a")]) == ""


def test_the_page_has_table_pictures_and_differences_and_no_markup_of_others(tmp_path):
    evil = "<script>alert(1)</script>"
    runs = [
        run("runs/a", 0.7, ece=0.05, epochs=3, params=10**6, seconds=75, latency_ms=2.5, per_class={evil: 0.9}),
        run(f"runs/{evil}", 0.6, macs=2 * 10**6, per_class={evil: 0.4}),
        run("runs/c", marks="*"),
    ]
    write_comparison(runs, tmp_path / "page.html")
    seen = Page((tmp_path / "page.html").read_text())
    said = " ".join(" ".join(seen.words).split()).replace("\u00a0", " ")
    assert "script" not in {tag for tag, _ in seen.elements}
    assert "runs/a: top-1 70.0 %" in said
    assert "5.0 % 1M 1M 2.5ms 1 min 15 s" in said
    assert "evaluated on other images" in said
    assert "Where the two best differ" in said
    assert sum(tag == "svg" for tag, _ in seen.elements) == 2
