"""Progress in plain lines, and nothing heavy to import."""

import io
import subprocess
import sys

import pytest

from triscale.training.progress import PlainProgress, SilentProgress, TerminalProgress, choose_progress, duration


def test_plain_lines_say_how_far_and_how_long(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("triscale.training.progress.time.monotonic", lambda: now[0])
    stream = io.StringIO()
    progress = PlainProgress(stream)
    progress.start("training", total=100, done=40)
    for _ in range(30):
        now[0] += 1
        progress.advance(1, "loss 0.5")
    progress.say("done")
    assert stream.getvalue().splitlines() == [
        "training: going on at step 40 of 100",
        "training: 55/100, 45 s left  loss 0.5",
        "training: 70/100, 30 s left  loss 0.5",
        "done",
    ]


@pytest.mark.parametrize(("seconds", "text"), [(47.6, "48 s"), (200, "3 min 20 s"), (7500, "2 h 5 min")])
def test_durations_are_for_people(seconds, text):
    assert duration(seconds) == text


def test_a_bar_only_where_a_terminal_is(monkeypatch):
    assert isinstance(choose_progress(quiet=True), SilentProgress)
    assert isinstance(choose_progress(), PlainProgress)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert isinstance(choose_progress(), TerminalProgress)


def test_the_bar_starts_moves_speaks_and_ends(capsys):
    progress = TerminalProgress()
    progress.say("before")
    progress.start("training", total=10, done=2)
    progress.advance(3, "loss 0.5")
    progress.say("[not markup]")
    progress.finish()
    progress.finish()
    written = capsys.readouterr().err
    assert "before" in written
    assert "[not markup]" in written
    assert "5/10" in written


def test_importing_it_loads_neither_torch_nor_rich():
    code = "import sys, triscale.training.progress; print({'torch', 'rich'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "set()\n", done.stderr
