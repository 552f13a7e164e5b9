"""Workers that are processes, and what can happen to them: kill -9, and a storage that goes away and comes back."""

import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.search.shared.helpers import shared
from tests.search.shared.worker import ASKED

pytest.importorskip("scipy")
pytest.importorskip("optuna")
pytest_plugins = ("tests.postgres",)
ROOT = Path(__file__).parents[3]


@pytest.fixture(params=["journal", "postgres"])
def where(request, tmp_path):
    """A new storage of each kind."""
    if request.param == "journal":
        return str(tmp_path / "search.journal")
    return request.getfixturevalue("postgres").database()


def start(kind, where, folder, seconds):
    command = [sys.executable, "-m", "tests.search.shared.worker", kind, where, folder, str(seconds)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)


def log(folder):
    path = folder / "log"
    return path.read_text().splitlines() if path.exists() else []


def wait_for(happened, seconds=120):
    until = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < until, "it did not happen"
        time.sleep(0.02)


@pytest.mark.parametrize("kind", ["grid", "budget"])
def test_of_two_workers_one_is_killed_and_every_trial_counts_once(kind, where, tmp_path):
    folders = tmp_path / "one", tmp_path / "other"
    one, other = (start(kind, where, folder, 0.4) for folder in folders)
    try:
        wait_for(lambda: len(log(folders[0])) >= 3 and log(folders[0])[-1].startswith("begin"))
        one.send_signal(signal.SIGKILL)
        _, said = other.communicate(timeout=180)
        assert other.returncode == 0, said
    finally:
        for each in (one, other):
            each.kill()
            each.communicate()
    trials = shared(where).trials()
    complete = [each for each in trials if each.state.name == "COMPLETE"]
    assert len(complete) == ASKED[kind]
    asked = Counter(each.user_attrs["answers"].split('"seconds"')[0] for each in complete)
    assert max(asked.values()) == 1
    ended = Counter(line for folder in folders for line in log(folder) if line.startswith("end"))
    assert max(ended.values()) == 1 and sum(ended.values()) == ASKED[kind], "nothing was trained to its end twice"
    assert sum(each.state.name == "FAIL" for each in trials) == 1, "the trial of the one that was killed"
    assert (folders[1] / "found").read_text() and not (folders[0] / "found").exists()
    again = start(kind, where, folders[0], 0.4)  # and it may come back, and has nothing left to do
    _, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert (folders[0] / "found").read_text() == (folders[1] / "found").read_text()
    assert sum(line.startswith("end") for folder in folders for line in log(folder)) == ASKED[kind]


def test_a_database_that_goes_away_in_the_middle_is_waited_for(postgres, tmp_path):
    where = postgres.database()
    worker = start("grid", where, tmp_path / "one", 0.3)
    try:
        wait_for(lambda: len(log(tmp_path / "one")) >= 5)
        postgres.stop()
        time.sleep(2)
        postgres.start()
        _, said = worker.communicate(timeout=120)
    finally:
        worker.kill()
        worker.communicate()
    assert worker.returncode == 0, said
    assert "is away" in said and "is back" in said
    assert sum(line.startswith("end") for line in log(tmp_path / "one")) == ASKED["grid"]
    assert [each.state.name for each in shared(where).trials()].count("COMPLETE") == ASKED["grid"]
