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
from tests.several import make_several
from triscale.deployment.engine import load_engine
from triscale.training.corruption import CORRUPTIONS


def test_eval_gives_the_figures_of_the_run_again(run, images):
    found = json.loads(triscale("eval", run, images, "--json").out)
    metrics = json.loads((run / "metrics.json").read_text())
    kept = ["split", "images", "top1", "top5", "f1_macro", "loss", "per_class", "ece"]
    assert [name for name in found if name in kept] == kept
    for name in ("split", "images", "top1", "top5", "per_class"):
        assert found[name] == metrics[name]
    for name in ("f1_macro", "loss", "ece"):
        assert found[name] == pytest.approx(metrics[name], abs=1e-4)
    details = json.loads((run / "evaluation.json").read_text())
    assert found["classes"] == details["classes"]
    assert found["confusion"] == {"classes": ["apple", "bridge", "cloud"], "counts": details["confusion"]}


def test_eval_of_all_images_counts_each_once(run, images):
    found = {split: json.loads(triscale("eval", run, images, "--split", split, "--json").out)["images"]
             for split in ("train", "val", "all")}  # fmt: skip
    assert found["all"] == 30 == found["train"] + found["val"]
    lines = triscale("eval", run, images, "--split", "all").out.splitlines()
    assert lines[0] == f"{run / 'exports/model.onnx'} on 30 all images of {images}"
    assert lines[1].startswith("top-1 ")
    assert lines[2].startswith("calibration error ")
    assert lines[3].split() == ["class", "images", "precision", "recall", "F1"]
    assert [line.split()[:2] for line in lines[4:]] == [["apple", "10"], ["bridge", "10"], ["cloud", "10"]]


def test_eval_measures_corruptions_and_writes_a_page(run, images, tmp_path):
    page = tmp_path / "evaluation.html"
    done = triscale("eval", run, images, "--corruptions", "--severity", "1", "5", "--images", "3", "--report", page)
    assert done.code == 0
    assert "top-1 on 3 images: " in done.out
    rows = [line.split() for line in done.out.splitlines()]
    assert ["corruption", "severity", "1", "severity", "5"] in rows
    assert [row[0] for row in rows if len(row) == 3 and row[1].endswith("%")][-12:] == list(CORRUPTIONS)
    assert "not comparable with published figures on ImageNet-C" in done.out
    text = page.read_text()
    assert "Is it as sure as it is right?" in text
    assert "Under common corruptions" in text
    assert text.count("<svg") == 3  # confusion, reliability, corruptions
    found = json.loads(triscale("eval", run, images, "--corruptions", "--images", "3", "--json").out)["corruptions"]
    assert found["images"] == 3
    assert [(each["kind"], each["severity"]) for each in found["found"]] == [(kind, 3) for kind in CORRUPTIONS]
    assert found["mean"] == pytest.approx(np.mean([each["score"] for each in found["found"]]))


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
        (("photos", "--severity", "3"), "--severity and --images are for --corruptions; give that too"),
        (("photos", "--corruptions", "--severity", "6"), "--severity must be 1 to 5, got 6"),
        (("photos", "--corruptions", "--images", "0"), "--images must be at least 1, got 0"),
        (("photos", "--report", "page.pdf"), "--report writes a page, got 'page.pdf'; give a name that ends in .html"),
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
    assert lines[0].split() == ["run", "state", "top-1", "split", "raw", "EMA", "epochs", "ECE", "params", "MACs",
                                "ms", "seconds"]  # fmt: skip
    assert lines[1].split()[:3] == [str(two_runs[1]), "done", "99.00%"]
    assert lines[2].split()[0] == f"{two_runs[0]}*"
    assert "were evaluated on other images" in lines[3]
    assert "<svg" in (tmp_path / "runs.svg").read_text()
    found = json.loads(triscale("compare", *two_runs, "--json").out)
    assert [each["run"] for each in found] == [str(two_runs[1]), str(two_runs[0])]


@pytest.fixture
def two_on_the_same(run, tmp_path):
    """Copies of the run, of which the second is better at apples and worse at clouds."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        for file in ("run.json", "metrics.json", "log.jsonl"):
            shutil.copy(run / file, tmp_path / name / file)
    metrics = json.loads((run / "metrics.json").read_text())
    for name, rates, top1 in (("first", (0.5, 0.6, 0.7), 0.6), ("second", (0.9, 0.6, 0.6), 0.7)):
        changed = {**metrics, "top1": top1, "per_class": dict(zip(("apple", "bridge", "cloud"), rates, strict=True))}
        (tmp_path / name / "metrics.json").write_text(json.dumps(changed))
    return tmp_path / "first", tmp_path / "second"


def test_compare_of_two_says_which_classes_differ_most(two_on_the_same):
    lines = triscale("compare", *two_on_the_same).out.splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith("classes that differ most between"))
    assert [line.split() for line in lines[at + 1 :]] == [
        ["class", "first", "second", "difference"],
        ["apple", "90.00%", "50.00%", "-40.0"],
        ["cloud", "60.00%", "70.00%", "+10.0"],
    ]


def test_compare_shows_raw_and_ema_of_the_kept_epoch_and_draws_the_curves(two_on_the_same, run, tmp_path):
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    (epoch,) = [line for line in log if line["event"] == "epoch"]
    done = triscale("compare", *two_on_the_same, "--curves", tmp_path / "c.png", "--report", tmp_path / "c.html")
    raw, ema, epochs = done.out.splitlines()[1].split()[4:7]
    assert (raw, ema, epochs) == (f"{epoch['raw']['top1']:.2%}", f"{epoch['ema']['top1']:.2%}", "1")
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    text = (tmp_path / "c.html").read_text()
    assert text.count("<svg") == 2  # trade-off and curves
    assert "Where the two best differ" in text
    (first, _) = json.loads(triscale("compare", *two_on_the_same, "--json").out)
    assert first["curve"] == [
        {"epoch": 1, "seconds": epoch["seconds"], "raw": epoch["raw"]["top1"], "ema": epoch["ema"]["top1"]}
    ]


def test_runs_of_several_labels_compare_by_map(two_on_the_same, tmp_path):
    for folder, value in zip(two_on_the_same, (0.4, 0.8), strict=True):
        metrics = json.loads((folder / "metrics.json").read_text())
        del metrics["top1"], metrics["top5"]
        (folder / "metrics.json").write_text(json.dumps({**metrics, "map": value}))
    lines = triscale("compare", *two_on_the_same).out.splitlines()
    assert lines[0].split()[2] == "mAP"
    assert [line.split()[2] for line in lines[1:3]] == ["80.00%", "40.00%"]


@pytest.mark.parametrize("text", ["[1]", '{"top1": "best"}', "{", '{"top1": 0.5, "per_class": [1]}'])
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
    assert "--curves writes PNG or SVG, got 'c.gif'" in refusal("compare", run, run, "--curves", "c.gif")
    assert "--report writes a page, got 'c.pdf'" in refusal("compare", run, run, "--report", "c.pdf")


def test_eval_refuses_several_labels_for_a_model_of_one(run, tmp_path):
    said = refusal("eval", run, make_several(tmp_path, 3))
    assert "labels.csv: has several labels an image, and" in said
    assert "was trained to give one" in said


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
