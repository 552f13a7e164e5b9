"""A process that has imported everything and forks one for each training, so that killing many of them stays quick."""

import os
import signal
import subprocess
import sys
from pathlib import Path

SERVER = """
import os, sys, traceback
sys.path.insert(0, {tests!r})
import torch, torch._dynamo, torch.utils.tensorboard
{imports}
torch.set_num_threads(1)
from training.tiny import tiny_images, train_tiny
from triscale.errors import TriscaleError
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        try:
            exec(eval(line))
            os._exit(0)
        except TriscaleError as error:
            print(error, flush=True)
            os._exit(error.exit_code)
        except BaseException:
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
            os._exit(70)
    print("pid", child, flush=True)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forks:
    """Runs pieces of code, each in its own process; use it in a `with` block.

    imports: statements that the server runs before it forks anything.
    """

    def __init__(self, imports=""):
        self.imports = imports

    def __enter__(self):
        code = SERVER.format(tests=str(Path(__file__).parents[1]), imports=self.imports)
        self.server = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self.server.stdin.close()
        self.server.wait(timeout=60)
        self.server.stdout.close()

    def begin(self, code):
        """Start it; returns its process number."""
        self.server.stdin.write(repr(code) + "\n")
        self.server.stdin.flush()
        self.said = []
        return int(self._line("pid"))

    def end(self):
        """Wait for it; returns its exit code (-9 when it was killed) and what it printed."""
        return int(self._line("ended")), "\n".join(self.said)

    def run(self, code):
        """Start it and wait for it."""
        self.begin(code)
        return self.end()

    def kill(self, pid):
        """Kill it at once, if it still runs."""
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            return

    def _line(self, word):
        for line in self.server.stdout:
            if line.startswith(f"{word} "):
                return line.split()[1]
            self.said.append(line.rstrip("\n"))
        raise AssertionError("\n".join(self.said))
