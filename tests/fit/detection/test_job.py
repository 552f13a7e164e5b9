"""`triscale fit` where DATA has boxes."""

import json

import pytest
import torch

import triscale.fit.detection.job as job
from tests.boxes import drawn_set, write_coco
from tests.fitted import refusal, triscale
from triscale.deployment.engine import load_engine
from triscale.deployment.latency import measure
from triscale.detection.detector import DetectorNet
from triscale.detection.files import load
from triscale.spec.cost import cost

BUDGET = "macs<=40M, params<=2M"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("boxes") / "shapes", drawn_set(12))


@pytest.fixture(scope="module")
def fitted(data, tmp_path_factory):
    """(run folder, what was printed) of a fit of one epoch."""
    run = tmp_path_factory.mktemp("runs") / "shapes"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "measure_fresh", measure)  # a process of its own for each file takes longer than the fit
        done = triscale("fit", data, "--budget", BUDGET, "--epochs", "1", "--no-mirror", "--out", run)
    assert done.code == 0, done.err
    return run, done.out


def test_a_detector_comes_out_inside_the_budget(fitted):
    run, _ = fitted
    model = load(run / "model.safetensors")
    assert isinstance(model, DetectorNet)
    found = cost(model.detector, model.preprocessing.size)
    assert found.macs <= 40e6
    assert found.params <= 2e6
    assert model.card.classes == ("disc", "square", "triangle")


def test_the_folder_holds_what_every_run_holds(fitted):
    run, _ = fitted
    record = json.loads((run / "run.json").read_text())
    assert (record["state"], record["shipped"]) == ("done", "exports/model.onnx")
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["split"] == "val"
    assert {"map", "map50", "per_class", "latency_ms", "size_bytes", "seconds"} <= set(metrics)
    assert (metrics["budget_met"], metrics["file_precision"]) == (True, "fp32")
    assert metrics["shipped_map"] == pytest.approx(metrics["map"], abs=1e-3)
    config = (run / "config.toml").read_text()
    assert "flip = 0.0" in config.split("[recipe.detection.augmentation]")[1]
    assert (run / "choice.json").is_file()


def test_both_files_have_suppression_and_were_verified(fitted):
    run, said = fitted
    for name in ("model.onnx", "model.xml"):
        assert load_engine(run / "exports" / name).metadata.detector.inside
    exports = [line for line in said.splitlines() if line.startswith("export ")]
    assert len(exports) == 2
    assert all("0 of them wrong" in line for line in exports)


def test_what_came_of_it_is_said_line_by_line(fitted):
    run, said = fitted
    lines = said.splitlines()
    assert lines[0].startswith("detector  efficientdet_lite0@macs40M,params2M: depth, width and resolution scaled")
    assert any("px nine of ten objects are at least" in line for line in lines)
    assert any(line.startswith("accuracy  mAP ") for line in lines)
    assert any(line.startswith("budget    macs 3") and ": met (by arithmetic)" in line for line in lines)
    assert lines[-1] == f"report    {run / 'report.html'}"


def test_the_report_shows_budget_choice_objects_figures_and_files(fitted):
    page = (fitted[0] / "report.html").read_text()
    assert "Every limit of the budget is met" in page
    for said in (
        "Its backbone, stage by stage",
        "Objects of each class",
        "How good it is",
        "same detections",
        "triangle",
    ):
        assert said in page
    assert "triscale predict" in page
    assert "<script" not in page


def test_the_same_command_says_that_it_is_done_and_another_is_refused(fitted, data):
    run, _ = fitted
    arguments = ("fit", data, "--epochs", "1", "--no-mirror", "--out", run, "--budget")
    assert "is done already" in triscale(*arguments, BUDGET).err
    assert "budget" in refusal(*arguments, "macs<=50M")


def test_the_run_predicts_and_is_evaluated_with_the_file_that_ships(fitted, data):
    run, _ = fitted
    found = json.loads(triscale("predict", run, data / "valid", "--score", "0", "--top", "3", "--json").out)
    assert all(len(each["boxes"]) == 3 for each in found)
    figures = [
        json.loads(triscale("eval", each, data, "--json").out)["map"]
        for each in (run, run / "exports" / "model.onnx", run / "model.safetensors")
    ]
    assert figures[0] == figures[1] == pytest.approx(figures[2], abs=1e-3)


def test_an_impossible_budget_is_one_line(data, tmp_path):
    said = refusal("fit", data, "--budget", "params<=1K", "--out", tmp_path / "run")
    assert "the smallest that can be reached has params" in said


def test_a_split_without_objects_is_told_before_anything_is_chosen(tmp_path, monkeypatch):
    data = write_coco(tmp_path / "shapes", [each for each in drawn_set(20) if each.split == "train" or not each.boxes])
    monkeypatch.setattr(job, "choose_detector", lambda *_: pytest.fail("it chose"))
    said = refusal("fit", data, "--budget", BUDGET, "--out", tmp_path / "run")
    assert "none of its 1 val images has an object, so nothing could be judged" in said


def test_a_job_that_goes_on_never_chooses_again(data, tmp_path, monkeypatch):
    seen = []

    def stopped(model, *_):
        seen.append(model)
        raise KeyboardInterrupt

    monkeypatch.setattr(job, "train", stopped)
    arguments = ("fit", data, "--budget", BUDGET, "--out", tmp_path / "run")
    assert triscale(*arguments).code == 130
    monkeypatch.setattr(job, "choose_detector", lambda *_: pytest.fail("it chose again"))
    assert triscale(*arguments).code == 130
    first, second = seen
    assert first.detector == second.detector
    weights = zip(first.state_dict().values(), second.state_dict().values(), strict=True)
    assert all(torch.equal(mine, other) for mine, other in weights)  # fresh ones come from the seed
