"""`triscale search coefficients`, from images to a network file, a family and a page."""

import json
from dataclasses import replace

import pytest
import torch

from tests.fitted import refusal, triscale
from triscale.search import preset
from triscale.search.halving import Rung
from triscale.spec.cost import cost
from triscale.spec.files import read_network


@pytest.fixture(scope="module")
def brief():
    """The preset `tiny` in seconds."""
    own = replace(
        preset.PRESETS["tiny"], per_class=8, judged=18, rungs=(Rung(2, 1, 0.4), Rung(4, 2)), most=4, largest=2,
        growths=(2.0,), curve_seeds=1, final_seeds=2,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(preset.PRESETS, "tiny", own)
        yield own


@pytest.fixture(scope="module")
def searched(brief, few_images, small_baseline, tmp_path_factory):
    """(run folder, what was printed before it was compared, and after)."""
    run = tmp_path_factory.mktemp("runs") / "search"
    command = ("search", "coefficients", few_images, "--baseline", small_baseline, "--size", 48, "--out", run)
    first = triscale(*command, "--honesty", "later")
    assert first.code == 0, first.err
    later = json.loads((run / "coefficients.json").read_text())
    second = triscale(*command)
    assert second.code == 0, second.err
    return run, first, later, second


def test_a_network_and_its_family_come_out_that_other_commands_take(searched, small_baseline):
    run, *_ = searched
    found = json.loads((run / "coefficients.json").read_text())
    made, base = read_network(run / "network.json"), read_network(small_baseline)
    assert made == read_network(run / "family" / "phi-1.json")
    assert 1.9 <= cost(made).macs / cost(replace(base, resolution=(48, 48))).macs <= 2.1
    assert [each["macs"] for each in found["family"]] == [
        cost(read_network(run / "family" / f"phi-{phi}.json")).macs for phi in (1, 2)
    ]
    assert triscale("info", run / "network.json").code == 0
    assert triscale("scale", run / "network.json", "--to", "macs<=5M").code == 0


def test_until_it_is_compared_the_result_says_so_and_nothing_is_trained_twice(searched):
    run, first, later, second = searched
    assert first.out.startswith("Not compared yet")
    assert (later["honesty"], later["curves"]) == (None, None)
    now = json.loads((run / "coefficients.json").read_text())
    assert now["coefficients"] == later["coefficients"] and now["candidates"] == later["candidates"]
    assert second.out.startswith("The search won") or second.out.startswith("The search did not win")
    answers = [json.loads(line) for line in (run / "ledger.jsonl").read_text().splitlines()[1:]]
    questions = [(each["key"], each["seed"], each["steps"]) for each in answers]
    assert len(questions) == len(set(questions)) and all(each["score"] is not None for each in answers)


def test_the_winner_is_held_against_what_costs_nothing_to_find(searched):
    run, *_ = searched
    found = json.loads((run / "coefficients.json").read_text())["honesty"]
    assert [each["way"] for each in found["contenders"]] == [
        "the search", "depth only", "width only", "resolution only", "the published rule", "random search",
        "the baseline",
    ]  # fmt: skip
    assert all(each["test"]["seeds"] == each["val"]["seeds"] == 2 for each in found["contenders"])
    assert found["random_steps"] <= found["searched_steps"]
    assert found["headline"] == json.loads((run / "metrics.json").read_text())["headline"]


def test_the_page_shows_the_verdict_every_candidate_and_the_curves(searched):
    run, *_ = searched
    page = (run / "report.html").read_text()
    for words in ("Did the search win?", "Every candidate", "STEP 2: the family", "the published rule", "1.2", "phi-2"):
        assert words in page
    assert page.count("<svg") == 2
    assert "<script" not in page and "http://" not in page.replace("http://www.w3.org", "")


def test_the_same_command_again_says_that_it_is_done_and_another_is_refused(searched, few_images, small_baseline):
    run, *_ = searched
    command = ("search", "coefficients", few_images, "--baseline", small_baseline, "--size", 48, "--out", run)
    again = triscale(*command)
    assert again.code == 0 and "is done already" in again.err
    assert "seed" in refusal(*command, "--seed", 1)


def test_its_winner_is_kept_trained_and_the_folder_answers_like_a_run(searched, few_images, tmp_path):
    run, *_ = searched
    record = json.loads((run / "run.json").read_text())
    assert record["shipped"] == "winner/model.safetensors"
    kept = json.loads((run / "winner" / "metrics.json").read_text())
    assert kept["split"] == "val" and kept["macs"] == cost(read_network(run / "network.json")).macs
    assert f"triscale predict {run}/winner IMAGES" in (run / "report.html").read_text()
    answer = triscale("predict", run, few_images / "test", "--json")
    assert answer.code == 0 and len(json.loads(answer.out)) == 12, answer.err
    written = triscale("export", run, tmp_path / "winner.onnx", "--json")
    assert written.code == 0 and json.loads(written.out)["verified"], written.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a CUDA GPU")
def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(tmp_path):
    command = ("search", "coefficients", tmp_path / "nowhere", "--device", "cuda")
    assert "--device cuda: " in refusal(*command)
    assert "--gpus says what a training gets; leave --device out" in refusal(*command, "--on", "ray")


def test_what_cannot_be_searched_is_one_line(few_images, tmp_path):
    assert "is a detector" in refusal("search", "coefficients", few_images, "--baseline", "efficientdet_d0")
    assert "a size is a number of pixels" in refusal("search", "coefficients", few_images, "--size", 0)
    (tmp_path / "instances.json").write_text('{"images": [], "annotations": [], "categories": []}')
    assert "has boxes" in refusal("search", "coefficients", tmp_path / "instances.json")
    assert "nowhere" in refusal("search", "coefficients", tmp_path / "nowhere")
