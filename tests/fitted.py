"""One real `fit`, shared by the tests of a process; and the command line as a function."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path

from tests.images import make_folder
from triscale.cli.main import main

BUDGET = "macs<=30M, params<=2M"
CLASSES, PER_CLASS = 3, 10


@dataclass(frozen=True)
class Done:
    """A command that has ended: its exit code and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self):
        """The one line that says what was wrong; everything before it is progress."""
        lines = self.err.splitlines()
        assert [line for line in lines if line.startswith("triscale:")] == lines[-1:], self.err
        assert "Traceback" not in self.err
        return lines[-1]


def triscale(*arguments) -> Done:
    """Run `triscale ARGUMENTS` in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = main([str(each) for each in arguments])
    return Done(code, out.getvalue(), err.getvalue())


def refusal(*arguments) -> str:
    """The line with which the command refuses; it must exit with 2 and print nothing else on standard output."""
    done = triscale(*arguments)
    assert (done.code, done.out) == (2, ""), done
    return done.complaint


def fit_arguments(images: Path, run: Path, budget: str = BUDGET) -> list[str]:
    """A fit of one epoch."""
    return ["fit", str(images), "--budget", budget, "--epochs", "1", "--out", str(run)]


def fitted_run(base: Path) -> tuple[Path, Path]:
    """(images, run) of a finished fit below `base`; made at the first call."""
    images, run = base / "photos", base / "fitted"
    if not images.exists():
        make_folder(images, CLASSES, PER_CLASS)
        done = triscale(*fit_arguments(images, run))
        assert done.code == 0, done
        (base / "fitted.out").write_text(done.out, encoding="utf-8")
    return images, run
