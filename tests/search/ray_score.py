"""A score that Ray's workers can import; it writes what it does, so that a test can kill one in the middle."""

import os
import time
from pathlib import Path

from tests.search.helpers import by_width


class Slow:
    """Of a folder: begin and end of each score are lines of FOLDER/log, with the process's id."""

    def __init__(self, folder, seconds):
        self.folder, self.seconds = Path(folder), seconds

    def __call__(self, candidate, seed, steps):
        self._write("begin", candidate, seed, steps)
        time.sleep(self.seconds)
        self._write("end", candidate, seed, steps)
        if seed == 7:
            raise ValueError("seven")
        return by_width(candidate, seed, steps)

    def _write(self, word, candidate, seed, steps):
        with (self.folder / "log").open("a") as log:
            print(word, os.getpid(), candidate.key, seed, steps, file=log, flush=True)


class OfAnotherVersion:
    """A score that the cluster's processes cannot read, as where their code is older."""

    def __reduce__(self):
        return _missing, ()


def _missing():
    raise AttributeError("this version has no such score")
