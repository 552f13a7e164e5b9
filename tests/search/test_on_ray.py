"""Scores on a local Ray cluster of two workers, one of which is killed. Run by `make accept-search`."""

import json
import os
import signal
import threading
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.fitted import triscale
from tests.models.helpers import small_network
from tests.search.budget.helpers import BUDGET
from tests.search.helpers import BASELINE, by_width, candidates
from tests.search.ray_score import OfAnotherVersion, Slow
from training.tiny import tiny_images
from triscale.errors import MissingExtraError, SearchError
from triscale.search import on_ray, preset
from triscale.search.asking import Ask, asked_together
from triscale.search.budget.search import Plan, search_budget
from triscale.search.halving import Rung, halve
from triscale.search.ledger import Ledger
from triscale.search.on_ray import OnRay, RayAsker
from triscale.spec.files import write_network
from triscale.training.progress import SilentProgress

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def ray():
    made = pytest.importorskip("ray")
    root = Path.cwd()
    made.init(
        address="local",
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        runtime_env={"env_vars": {"PYTHONPATH": f"{root}/src:{root}"}},
    )
    yield made
    made.shutdown()


def asker(folder, seconds=0.1):
    folder.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(folder / "ledger.jsonl", {"search": "test"})
    return RayAsker(Slow(folder, seconds), ledger, OnRay(), SilentProgress())


def log(folder):
    path = folder / "log"
    return [line.split() for line in path.read_text().splitlines()] if path.exists() else []


def test_halving_on_a_cluster_is_halving(ray, tmp_path):
    rungs = (Rung(10, 1, 1 / 2), Rung(20, 2))
    found = halve(candidates(6), asker(tmp_path), rungs)
    assert [each.candidate for each in found.standings][:3] == candidates(6)[:2:-1]
    assert len(log(tmp_path)) == 2 * (6 + 3 * 2)
    again = asker(tmp_path)
    assert halve(candidates(6), again, rungs) == found and len(log(tmp_path)) == 24, "the ledger has everything"
    assert again.slots == 2
    assert len({pid for _, pid, *_ in log(tmp_path)}) >= 2, "two processes at once"


def test_a_worker_that_is_killed_in_the_middle_loses_its_own_question_alone(ray, tmp_path):
    ask, killed = asker(tmp_path, 1.0), []

    def kill():
        while len(log(tmp_path)) < 4 or log(tmp_path)[-1][0] != "begin":
            time.sleep(0.01)
        killed.append(log(tmp_path)[-1])
        os.kill(int(killed[0][1]), signal.SIGKILL)

    threading.Thread(target=kill).start()
    scores = asked_together(candidates(6), ask, 10, 1)
    assert scores == {each: [by_width(each, 0, 10)] for each in candidates(6)}
    ended = Counter(tuple(line[2:]) for line in log(tmp_path) if line[0] == "end")
    begun = Counter(tuple(line[2:]) for line in log(tmp_path) if line[0] == "begin")
    assert max(ended.values()) == 1 and len(ended) == 6
    assert begun[tuple(killed[0][2:])] == 2 and sum(begun.values()) == 7
    assert len(ask.ledger) == 6


def test_a_search_inside_a_budget_asks_two_at_once_and_goes_on_from_its_ledger(ray, tmp_path):
    plan = Plan(trials=12, steps=10, shapes=60, levels=4)
    found = search_budget(BASELINE, BUDGET, asker(tmp_path), plan)
    assert len(found.scored) == 12 and len({each.candidate for each in found.scored}) == 12
    again = search_budget(BASELINE, BUDGET, asker(tmp_path), plan)
    assert again.winner.candidate == found.winner.candidate and len(log(tmp_path)) == 24


def test_a_score_that_raises_is_an_answer(ray, tmp_path):
    entry = asker(tmp_path).all([Ask(candidates(1)[0], 7, 10)])[0]
    assert entry.score is None and entry.failure == "ValueError: seven"


def test_a_cluster_whose_code_is_another_is_told_apart_from_one_that_dies(ray, tmp_path):
    ask = RayAsker(OfAnotherVersion(), Ledger(tmp_path / "l", {}), OnRay(), SilentProgress())
    entry = ask.all([Ask(candidates(1)[0], 0, 10)])[0]
    assert entry.score is None and entry.failure.startswith("a process of the cluster cannot take it")
    assert "this version has no such score" in entry.failure


def test_the_command_line_searches_on_a_cluster(ray, tmp_path, monkeypatch):
    rungs = (Rung(1, 1, 1 / 3), Rung(2, 2))
    own = replace(preset.PRESETS["tiny"], per_class=8, judged=18, rungs=rungs, most=6, final_seeds=1, growths=(2.0,))
    monkeypatch.setitem(preset.PRESETS, "tiny", own)
    images = tiny_images(tmp_path / "images", train=16, val=4, test=4)
    write_network(small_network(resolution=(48, 48)), tmp_path / "small.json")
    command = ("search", "coefficients", images, "--baseline", tmp_path / "small.json", "--size", 48)
    done = triscale(*command, "--on", "ray", "--memory", "200MB", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    alone = triscale(*command, "--out", tmp_path / "alone")
    assert alone.code == 0, alone.err
    found = [read_ledger(tmp_path / name / "ledger.jsonl") for name in ("run", "alone")]
    assert found[0] == pytest.approx(found[1]), "the same trainings, with the same scores"


def read_ledger(path):
    answers = [json.loads(line) for line in path.read_text().splitlines()[1:]]
    return {(each["key"], each["seed"], each["steps"]): each["score"] for each in answers}


def test_what_the_cluster_has_not_is_refused(ray, tmp_path):
    with pytest.raises(SearchError, match="a training asks for 64 CPU, the whole cluster has 2"):
        RayAsker(Slow(tmp_path, 0), Ledger(tmp_path / "l", {}), OnRay(cores=64), SilentProgress())
    with pytest.raises(SearchError, match="a training asks for 1 GPU"):
        RayAsker(Slow(tmp_path, 0), Ledger(tmp_path / "l", {}), OnRay(gpus=1), SilentProgress())


def test_without_ray_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'triscale\[ray\]'"):
        on_ray.connect(OnRay())
