"""Progress of long work: a bar with the time left on a terminal, plain lines elsewhere, nothing where nobody reads."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID

PLAIN_SECONDS = 15.0  # between two plain lines


class Progress(Protocol):
    """What long work tells while it runs."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin a piece of work of `total` steps, of which `done` were done before."""
        ...

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Some steps are done; `detail` says how it stands (`epoch 3/8  loss 0.412`)."""
        ...

    def say(self, line: str) -> None:
        """A line that stays."""
        ...

    def finish(self) -> None:
        """The piece of work has ended, well or not."""
        ...


class SilentProgress:
    """Says nothing."""

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Nothing."""

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Nothing."""

    def say(self, line: str) -> None:
        """Nothing."""

    def finish(self) -> None:
        """Nothing."""


class PlainProgress:
    """Lines for a log file: what is said, and every 15 seconds how far it is and how long it will take."""

    def __init__(self, stream: TextIO | None = None, every: float = PLAIN_SECONDS) -> None:
        self._stream, self._every = stream or sys.stderr, every
        self._title, self._total, self._done, self._first = "", 0, 0, 0
        self._began = self._told = time.monotonic()

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Begin; says so."""
        self._title, self._total, self._done, self._first = title, total, done, done
        self._began = self._told = time.monotonic()
        self.say(title if not done else f"{title}: going on at step {done} of {total}")

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Count, and say so from time to time."""
        self._done += steps
        now = time.monotonic()
        if now - self._told >= self._every:
            self._told = now
            left = (now - self._began) / max(1, self._done - self._first) * (self._total - self._done)
            self.say(f"{self._title}: {self._done}/{self._total}, {duration(left)} left  {detail}".rstrip())

    def say(self, line: str) -> None:
        """Write a line."""
        print(line, file=self._stream, flush=True)

    def finish(self) -> None:
        """Nothing to clear."""


class TerminalProgress:
    """A bar with the time left, drawn by rich; lines that are said scroll above it."""

    def __init__(self) -> None:
        self._bar: RichProgress | None = None
        self._task: TaskID | None = None

    def start(self, title: str, total: int, done: int = 0) -> None:
        """Draw the bar."""
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
        from rich.progress import Progress as RichProgress

        self.finish()
        self._bar = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[detail]}"),
            console=Console(stderr=True),
        )
        self._bar.start()
        self._task = self._bar.add_task(title, total=total, completed=done, detail="")

    def advance(self, steps: int = 1, detail: str = "") -> None:
        """Move the bar."""
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, advance=steps, detail=detail)

    def say(self, line: str) -> None:
        """Write a line above the bar."""
        if self._bar is not None:
            self._bar.console.print(line, markup=False, highlight=False)
        else:
            print(line, file=sys.stderr, flush=True)

    def finish(self) -> None:
        """Leave the bar as it stands."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def choose_progress(quiet: bool = False) -> Progress:
    """A bar where standard error is a terminal, lines where it is not, nothing when `quiet`."""
    if quiet:
        return SilentProgress()
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()


def duration(seconds: float) -> str:
    """Seconds for people: `48 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
