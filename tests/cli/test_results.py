"""`eval`, `export`, `compare`, `doctor` and `data check` on what a fit left behind."""

import json
import shutil

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import triscale.deployment.export as exporting
import triscale.deployment.latency as timing
from tests.fitted import refusal, triscale
from tests.images import make_folder
from triscale.deployment.engine import load_engine


def test_eval_gives_the_figures_of_the_run_again(run, images):
    found = json.loads(triscale("eval", run, images, "--json").out)
    metrics = json.loads((run / "metrics.json").read_text())
    assert list(found) == ["split", "images", "top1", "top5", "per_class"]
    for name in ("split", "images", "top1", "top5", "per_class"):
        assert found[name] == pytest.approx(metrics[name]) if isinstance(found[name], float) else metrics[name]


def test_eval_of_all_images_counts_each_once(run, images):
    found = {split: json.loads(triscale("eval", run, images, "--split", split, "--json").out)["images"]
             for split in ("train", "val", "all")}  # fmt: skip
    assert found["all"] == 30 == found["train"] + found["val"]
    lines = triscale("eval", run, images, "--split", "all").out.splitlines()
    assert lines[0] == f"{run / 'exports/model.onnx'} on 30 all images of {images}"
    assert [line.split()[0] for line in lines[2:]] == ["class", "apple", "bridge", "cloud"]


def test_eval_matches_classes_by_name_and_refuses_unknown_ones(run, tmp_path):
    make_folder(tmp_path, classes=4, per_class=2)
    said = refusal("eval", run, tmp_path)
    assert "the model does not know the class 'dolphin'; it knows apple, bridge, cloud." in said
    shutil.rmtree(tmp_path / "dolphin")
    shutil.rmtree(tmp_path / "apple")  # fewer classes are none of another order: bridge is still output 1
    found = json.loads(triscale("eval", run, tmp_path, "--split", "all", "--json").out)
    assert list(found["per_class"]) == ["bridge", "cloud"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("missing",), "missing: does not exist"),
        (("photos", "--split", "test"), "has no test images; choose another --split"),
        (("photos", "--split", "x"), 'Choose from: "auto", "test", "val", "train", "all"'),
    ],
)
def test_eval_refuses_in_one_line(run, monkeypatch, arguments, said):
    monkeypatch.chdir(run.parent)
    assert said in refusal("eval", run, *arguments)


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_export_writes_a_file_that_agrees_with_the_model(run, images, tmp_path, name):
    done = triscale("export", run, tmp_path / name, "--images", images, "--count", "8", "--json")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert list(found) == ["file", "engine", "precision", "size_bytes", "images", "max_error", "top1_agreement",
                           "latency_ms", "verified"]  # fmt: skip
    assert found["file"] == str(tmp_path / name)
    assert (found["images"], found["top1_agreement"], found["verified"]) == (8, 1.0, True)
    assert found["max_error"] < 1e-3
    assert found["size_bytes"] == sum(each.stat().st_size for each in tmp_path.iterdir())


@pytest.fixture
def timed_here(monkeypatch):
    """Latency is measured in this process, because starting another takes seconds."""
    monkeypatch.setattr(timing, "measure_fresh", timing.measure)


@pytest.mark.usefixtures("timed_here")
def test_export_takes_another_input_size(run, tmp_path):
    done = triscale("export", run / "model.safetensors", tmp_path / "wide.onnx", "--size", "40", "64", "--count", "2")
    assert done.code == 0
    assert "same first class on 100.0% of 2 random images" in done.out
    assert load_engine(tmp_path / "wide.onnx").input_shape == (3, 40, 64)


@pytest.mark.usefixtures("timed_here")
def test_an_export_that_differs_from_its_model_exits_1(run, tmp_path, monkeypatch):
    """The written file is changed between export and verification, as a faulty converter would have written it."""
    export = exporting.export

    def faulty(model, path, *arguments):
        written = export(model, path, *arguments)
        graph = onnx.load(path)
        bias = next(each for each in graph.graph.initializer if each.name.endswith("classifier.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([1, 0, 0]), bias.name))
        onnx.save(graph, path)
        return written

    monkeypatch.setattr(exporting, "export", faulty)
    done = triscale("export", run, tmp_path / "model.onnx", "--count", "4", "--json")
    assert done.code == 1
    assert "differs from the model that it was exported from" in done.complaint
    assert json.loads(done.out)["verified"] is False


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fitted", "model.tflite"), "cannot tell the engine from 'model.tflite'"),
        (("fittd", "model.onnx"), "no network is called 'fittd'"),
        (("runs/fitted", "model.onnx"), "runs/fitted: no such file or run folder; nearby"),
        (("photos", "model.onnx"), "holds no model.safetensors"),
        (("fitted/exports/model.onnx", "again.onnx"), "is exported already"),
        (("fitted", "model.onnx", "--count", "0"), "--count at least 1"),
        (("fitted", "model.onnx", "--size", "1", "2", "3"), "--size takes one or two numbers"),
        (("fitted", "fitted/run.json/model.onnx", "--count", "1"), "a part of the path is a file"),
        (("fitted", "model.onnx", "--images", "nothing*"), "nothing*: matches no file"),
    ],
)
def test_export_refuses_in_one_line(run, monkeypatch, arguments, said):
    monkeypatch.chdir(run.parent)
    before = sorted(run.parent.iterdir())
    assert said in refusal("export", *arguments)
    assert [each for each in run.parent.iterdir() if each.name.endswith(".part")] == []
    assert sorted(each for each in run.parent.iterdir() if each.suffix not in (".onnx",)) == before


@pytest.fixture
def two_runs(run, tmp_path):
    """A copy of the run beside one that is better and was evaluated on other images."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for file in ("run.json", "metrics.json"):
            shutil.copy(run / file, tmp_path / name / file)
    metrics = json.loads((run / "metrics.json").read_text())
    (tmp_path / "second" / "metrics.json").write_text(json.dumps({**metrics, "top1": 0.99, "macs": 10**6}))
    record = json.loads((run / "run.json").read_text())
    (tmp_path / "second" / "run.json").write_text(json.dumps({**record, "data": "other"}))
    return tmp_path / "first", tmp_path / "second"


def test_compare_puts_the_best_first_and_marks_other_data(two_runs, tmp_path):
    done = triscale("compare", *two_runs, "--picture", tmp_path / "runs.svg")
    lines = done.out.splitlines()
    assert lines[0].split() == ["run", "state", "top-1", "split", "params", "MACs", "ms", "seconds"]
    assert lines[1].split()[:3] == [str(two_runs[1]), "done", "99.00%"]
    assert lines[2].split()[0] == f"{two_runs[0]}*"
    assert "were evaluated on other images" in lines[3]
    assert "<svg" in (tmp_path / "runs.svg").read_text()
    found = json.loads(triscale("compare", *two_runs, "--json").out)
    assert [each["run"] for each in found] == [str(two_runs[1]), str(two_runs[0])]


@pytest.mark.parametrize("text", ["[1]", '{"top1": "best"}', "{"])
def test_compare_names_damaged_figures(two_runs, text):
    (two_runs[0] / "metrics.json").write_text(text)
    assert f"{two_runs[0] / 'metrics.json'}: is " in refusal("compare", *two_runs)


def test_compare_takes_runs_that_have_no_figures_yet(two_runs):
    (two_runs[1] / "metrics.json").unlink()
    lines = triscale("compare", *two_runs).out.splitlines()
    assert lines[2].split()[1:3] == ["done", "–"]


def test_compare_refuses_in_one_line(run, images):
    assert "needs at least two runs, got 1" in refusal("compare", run)
    assert "is no run folder" in refusal("compare", run, images)
    assert "--picture writes SVG" in refusal("compare", run, run, "--picture", "runs.png")


def test_doctor_knows_the_machine_and_the_libraries():
    done = triscale("doctor", "--json")
    found = json.loads(done.out)
    assert done.code == 0
    assert found["libraries"]["torch"]
    assert {"triscale", "python", "platform", "cores", "memory_gb", "disk_free_gb", "cuda"} <= set(found)
    for name in found["libraries"]:
        assert name in triscale("doctor").out


def test_data_check_exits_1_when_it_found_something(images, tmp_path):
    assert triscale("data", "check", images).code == 0
    make_folder(tmp_path, classes=2, per_class=2)
    (tmp_path / "apple" / "000.png").write_bytes(b"")
    done = triscale("data", "check", tmp_path, "--json")
    assert done.code == 1
    assert [each["kind"] for each in json.loads(done.out)["findings"]] == ["empty"]
