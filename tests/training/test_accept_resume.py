"""`make accept-resume`: killed at random moments, in one to three processes and under torchrun, a run ends the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from training.test_spreading import restless, steps_logged, weights
from training.tiny import tiny_images, tiny_network
from triscale.spec.files import write_network
from triscale.training.run import read_run

pytestmark = pytest.mark.slow

MOMENTS = 10


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_images(tmp_path_factory.mktemp("images"), val=5)


def single(images, folder):
    return f"""
import os
from pathlib import Path
from training.test_spreading import *
from training.tiny import train_tiny
train_tiny({str(images)!r}, {str(folder)!r}, **RESTLESS)
"""


def together(size):
    """Code for so many processes; of a batch of 8, the three get 2, 3 and 3 images."""
    return lambda images, folder: restless(images, folder, folder.with_suffix(".pid"), size=size)


@pytest.mark.parametrize(
    ("size", "make"), [(1, single), (2, together(2)), (3, together(3))], ids=["single", "double", "triple"]
)
def test_killed_at_ten_random_moments_it_ends_the_same(images, tmp_path, forks, size, make):
    seed = random.randrange(2**32)
    dice = random.Random(seed)
    began = time.monotonic()
    assert forks.run(make(images, tmp_path / "undisturbed")) == (0, "")
    seconds, killed_at = time.monotonic() - began, []
    while len(killed_at) < MOMENTS:
        folder = tmp_path / f"run{len(killed_at)}"
        if read_state(folder) == "done":  # the dice said a moment after the end: it is taken back
            folder.rename(tmp_path / f"early{time.monotonic_ns()}")
        process = forks.begin(make(images, folder))
        time.sleep(dice.uniform(0, seconds))
        forks.kill(victim_of(folder, process, dice, size))
        if forks.end()[0] != -9:
            continue
        killed_at.append(steps_logged(folder))
        assert forks.run(make(images, folder))[0] == 0, f"seed {seed}"
        assert weights(folder) == weights(tmp_path / "undisturbed"), f"differs for seed {seed}, killed {killed_at}"
    print(f"processes {size}: seed {seed}, killed after steps {killed_at} of 36: all bit-identical")


def read_state(folder):
    return read_run(folder).state if (folder / "run.json").exists() else ""


def victim_of(folder, process, dice, size):
    """One of the processes; the first where the chosen one has not yet said its number."""
    rank = dice.randrange(size)
    place = Path(f"{folder.with_suffix('.pid')}-{rank}")
    return int(place.read_text() or process) if rank and place.exists() else process


def test_torchrun_starts_killed_workers_again_and_the_run_ends_the_same(images, tmp_path):
    network = tmp_path / "net.json"
    write_network(tiny_network(), network)
    outs = tmp_path / "undisturbed", tmp_path / "killed"
    with started(network, images, outs[0]) as undisturbed:
        assert undisturbed.wait(timeout=300) == 0
    with started(network, images, outs[1]) as agent:
        for steps, rank in ((10, 1), (30, 0)):
            wait_for(lambda steps=steps: steps_logged(outs[1]) >= steps)
            os.kill(worker(agent.pid, rank), signal.SIGKILL)
            wait_for(lambda count=1 + (rank == 0): resumed(outs[1]) >= count)
        assert agent.wait(timeout=300) == 0
    assert resumed(outs[1]) == 2
    assert read_run(outs[1]).state == "done"
    assert weights(outs[1]) == weights(outs[0])


class started:
    """torchrun with two workers that train; ended with all it has started, whatever happens."""

    def __init__(self, network, images, out):
        words = f"--standalone --nproc-per-node 2 --max-restarts 3 -m triscale train {network} {images} --out {out}"
        recipe = "--epochs 6 --batch-size 8 --set least_steps=0 --set checkpoint_steps=4 --set mixup=0.2"
        self.command = [sys.executable, "-m", "torch.distributed.run", *words.split(), *recipe.split()]

    def __enter__(self):
        self.agent = subprocess.Popen(
            self.command, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
        )
        return self.agent

    def __exit__(self, *_):
        if self.agent.poll() is None:
            left = [self.agent.pid, *children(self.agent.pid)]
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            self.agent.wait()


def children(pid):
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def worker(agent, rank):
    """The process that torchrun has started as this rank."""
    for pid in children(agent):
        if f"\0RANK={rank}\0".encode() in b"\0" + Path(f"/proc/{pid}/environ").read_bytes():
            return pid
    raise AssertionError(f"torchrun has no worker {rank}")


def resumed(folder):
    path = folder / "log.jsonl"
    return path.read_text().count('"resumed"') if path.exists() else 0


def wait_for(holds, patience=120):
    end = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)
