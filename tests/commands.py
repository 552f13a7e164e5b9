"""`triscale` in processes of its own, forked from one that has imported everything: quick to start, and to kill."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

from tests.fitted import Done
from tests.training.forks import Forks

IMPORTS = """
import cyclopts, matplotlib.backends.backend_svg, matplotlib.figure, onnx, onnxruntime, openvino
import triscale.cli.main, triscale.fit.summary, triscale.report.page
"""
PATIENCE = 120.0
CHILD = """
import os, resource, signal
os.setsid()
signal.signal(signal.SIGINT, signal.default_int_handler)
for number, path in ((1, {out!r}), (2, {err!r})):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
if {largest!r}:
    resource.setrlimit(resource.RLIMIT_FSIZE, ({largest!r}, {largest!r}))
sys.stdout, sys.stderr = open(1, "w", closefd=False), open(2, "w", closefd=False)
if not {whole!r}:
    import triscale.deployment.latency, triscale.fit.job, triscale.report.page
    triscale.fit.job.measure_fresh = triscale.deployment.latency.measure
    triscale.report.page.page = lambda report: report.title
import triscale.cli.main as command
run = command._run
def heeding(given):
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {{signal.SIGINT}})
    return run(given)
command._run = heeding
signal.pthread_sigmask(signal.SIG_BLOCK, {{signal.SIGINT}})  # one that comes now is for the command, not for this
open({ready!r}, "w").close()
code = command.main({arguments!r})
sys.stdout.flush()
sys.stderr.flush()
os._exit(code)
"""


class Commands(Forks):
    """Runs `triscale ARGUMENTS`, one at a time, each in its own process and process group; use it in a `with` block.

    imports: statements run before anything is forked. whole: whether latency is measured in yet another process, and
    reports are drawn, as for a user; both take seconds.
    """

    def __init__(self, folder: Path, whole: bool = False, imports: str = IMPORTS) -> None:
        super().__init__(imports)
        self.whole = whole
        self.out, self.err = str(folder / "command.out"), str(folder / "command.err")
        self.ready = folder / "command.ready"
        self.process = 0

    def start(self, *arguments: object, largest: int = 0) -> int:
        """Begin a command; no file that it writes may have more than `largest` bytes (0: any). Returns its number."""
        given = [str(each) for each in arguments]
        code = CHILD.format(
            out=self.out, err=self.err, largest=largest, arguments=given, whole=self.whole, ready=str(self.ready)
        )
        self.ready.unlink(missing_ok=True)
        self.process = self.begin(code)
        self.when(self.ready)  # before it leads a process group of its own, a signal to that group reaches nobody
        return self.process

    def wait(self) -> Done:
        """Wait until it ends; the code of one that was killed is the signal's number, negative."""
        code, _ = self.end()
        return Done(code, Path(self.out).read_text(encoding="utf-8"), Path(self.err).read_text(encoding="utf-8"))

    def do(self, *arguments: object, largest: int = 0) -> Done:
        """Run a command to its end."""
        self.start(*arguments, largest=largest)
        return self.wait()

    def strike(self, number: signal.Signals) -> Done:
        """Send a signal to the command and all that it started, as a terminal does; then wait."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process, number)
        return self.wait()

    def when(self, path: Path) -> None:
        """Wait until a file is there."""
        until = time.monotonic() + PATIENCE
        while not path.exists():
            assert time.monotonic() < until, f"{path} never came"
            time.sleep(0.002)
