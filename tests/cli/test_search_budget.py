"""`triscale search budget`, from images and limits to a network file and a page."""

import json
from dataclasses import replace

import pytest

from tests.fitted import refusal, triscale
from triscale.deployment.trial import measures
from triscale.search import preset
from triscale.search.halving import Rung
from triscale.spec.cost import cost
from triscale.spec.files import read_network
from triscale.spec.limits import parse

BUDGET = "macs<=3M, params<=60K"


def search(few_images, small_baseline, run, *more):
    return triscale(
        "search",
        "budget",
        few_images,
        "--budget",
        BUDGET,
        "--baseline",
        small_baseline,
        "--size",
        48,
        "--out",
        run,
        *more,
    )


@pytest.fixture(scope="module")
def brief():
    """The preset `tiny` in seconds."""
    own = replace(preset.PRESETS["tiny"], per_class=8, judged=18, rungs=(Rung(2),), trials=10, final_seeds=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(preset.PRESETS, "tiny", own)
        yield own


@pytest.fixture(scope="module")
def searched(brief, few_images, small_baseline, tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "search"
    first = search(few_images, small_baseline, run, "--honesty", "later")
    assert first.code == 0, first.err
    later = json.loads((run / "search.json").read_text())
    second = search(few_images, small_baseline, run)
    assert second.code == 0, second.err
    return run, first, later, second


def test_a_network_inside_every_limit_comes_out_and_none_outside_was_trained(searched):
    run, *_ = searched
    limits = parse(BUDGET).limits
    own = cost(read_network(run / "network.json"))
    assert own.macs <= limits["macs"] and own.params <= limits["params"]
    answers = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()[1:]]
    assert all(each["macs"] <= limits["macs"] and each["params"] <= limits["params"] for each in answers)
    assert len({(each["key"], each["seed"], each["steps"]) for each in answers}) == len(answers)
    assert triscale("info", run / "network.json").code == 0
    kept = json.loads((run / "winner" / "metrics.json").read_text())
    assert (kept["macs"], kept["params"]) == (own.macs, own.params)


def test_until_it_is_compared_the_result_says_so(searched):
    run, first, later, second = searched
    now = json.loads((run / "search.json").read_text())
    assert first.out.startswith("Not compared yet") and later["honesty"] is None
    assert (now["winner"], now["trials"]) == (later["winner"], later["trials"])
    assert len(now["trials"]) == 10
    assert second.out.startswith("The search ")
    ways = [each["way"] for each in now["honesty"]["contenders"]]
    assert ways[0] == "the search" and {"the published rule", "random search"} <= set(ways)
    assert now["honesty"]["random_steps"] == now["honesty"]["searched_steps"] == 20


def test_the_page_shows_the_verdict_every_network_and_what_is_expected_where(searched):
    run, *_ = searched
    page = (run / "report.html").read_text()
    for words in ("Did the search win?", "Every network that was trained", "What is expected where", "of the budget"):
        assert words in page
    assert page.count("<svg") == 2


@pytest.mark.parametrize("more", [("--mode", "phi"), ("--pareto", "macs"), ("--mode", "compound")])
def test_other_ways_of_searching_have_their_page_too(brief, few_images, small_baseline, tmp_path, more):
    done = search(few_images, small_baseline, tmp_path / "run", "--honesty", "later", *more)
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "run" / "search.json").read_text())
    assert (len(found["front"]) > 0) == ("--pareto" in more)
    assert ("what nothing beats" in (tmp_path / "run" / "report.html").read_text()) == ("--pareto" in more)


@pytest.mark.parametrize("limit", ["size<=250KB", pytest.param("latency<=2ms", marks=pytest.mark.slow)])
def test_what_must_be_measured_is_measured_before_anything_is_trained(
    brief, few_images, small_baseline, tmp_path, limit
):
    pytest.importorskip("onnxruntime")
    command = (
        "search",
        "budget",
        few_images,
        "--budget",
        f"macs<=8M, {limit}",
        "--baseline",
        small_baseline,
        "--size",
        48,
    )
    done = triscale(*command, "--out", tmp_path / "run", "--honesty", "later")
    assert done.code == 0, done.err
    word = limit.partition("<=")[0]
    found = json.loads((tmp_path / "run" / "search.json").read_text())
    assert len(found["trials"]) == 10 and all(each["used"][word] <= 1.1 for each in found["trials"])
    network = read_network(tmp_path / "run" / "network.json")
    assert network.classes == 3, "the data's, which its costs count"
    assert found["winner"]["params"] == cost(network).params
    real = measures("onnx", parse(limit).limits.get("latency"))[word]
    assert real(network) <= parse(limit).limits[word] * (1.3 if word == "latency" else 1)


def test_what_cannot_be_searched_is_one_line(few_images, small_baseline, tmp_path):
    limited = ("search", "budget", few_images, "--budget", "latency<=5ms", "--out", tmp_path / "none")
    said = refusal(*limited, "--baseline", "own.py:make")
    assert "latency of code of your own is not searched for; limit macs or params" in said
    said = refusal(*limited, "--baseline", small_baseline, "--storage", tmp_path / "search.journal")
    assert "latency is measured on one device, and the workers of a --storage may differ" in said
    command = ("search", "budget", few_images, "--baseline", small_baseline, "--size", 48, "--out", tmp_path / "run")
    assert "nothing of small is inside" in refusal(*command, "--budget", "params<=100")
