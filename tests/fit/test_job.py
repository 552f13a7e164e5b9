"""`fit` from a folder of images to a folder with everything; once, and then again."""

import json
import re
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import triscale as ts
import triscale.fit.job as job
import triscale.report.page as page
from tests.fitted import BUDGET, fit_arguments, refusal, triscale
from triscale.data.transforms import load as load_image
from triscale.deployment.engine import load_engine
from triscale.deployment.latency import Latency
from triscale.errors import TrainingError
from triscale.fit.choose import choose
from triscale.fit.job import Job, Limit, fit, open_dataset
from triscale.fit.record import read_choice
from triscale.spec.files import read_network
from triscale.spec.limits import parse
from triscale.training.config import read_config
from triscale.training.recipe import Recipe
from triscale.training.run import RunFolder, read_run

FLAT = {"split", "top1", "top5", "loss", "images", "val_top1", "weights", "best_epoch", "epochs", "seconds", "params",
        "macs", "latency_ms", "size_bytes", "engine", "precision", "max_error", "budget_met", "f1_macro", "ece",
        "temperature", "ece_scaled", "loss_scaled", "calibration"}  # fmt: skip


def test_the_folder_holds_everything(run):
    names = {each.relative_to(run).as_posix() for each in run.rglob("*") if not each.name.startswith(".")}
    assert {"run.json", "choice.json", "network.json", "config.toml", "metrics.json", "log.jsonl", "model.safetensors",
            "report.html", "exports/model.onnx", "exports/model.xml", "exports/model.bin"} <= names  # fmt: skip
    assert not list(run.rglob("*.part"))


def test_run_json_says_what_was_asked_for_and_what_came_of_it(run, images):
    record = read_run(run)
    assert (record.command, record.state, record.error) == ("fit", "done", "")
    assert record.shipped == "exports/model.onnx"
    assert record.arguments["data"] == str(images)
    assert (record.arguments["budget"], record.arguments["epochs"]) == (BUDGET, 1)
    assert record.network == {"name": "efficientnet_b0@macs30M,params2M", "weights": ""}
    assert re.fullmatch("[0-9a-f]{64}", record.config_hash)
    assert re.fullmatch("[0-9a-f]{64}", record.data)
    assert record.environment["torch"].split("+")[0] == torch.__version__.split("+")[0]


def test_the_chosen_network_is_the_one_that_was_trained_and_is_inside_the_budget(run):
    network, chosen = read_network(run / "network.json"), read_choice(run / "choice.json").chosen
    own = ts.cost(network)
    assert chosen.network == network == ts.load(run / "model.safetensors").network
    assert own.macs <= 30e6
    assert own.params <= 2e6
    assert (network.classes, network.resolution) == (3, (32, 32))


def test_metrics_are_flat_but_for_the_classes(run):
    metrics = json.loads((run / "metrics.json").read_text())
    assert set(metrics) == FLAT | {"per_class"}
    assert all(isinstance(metrics[key], int | float | str) for key in FLAT)
    assert set(metrics["per_class"]) == {"apple", "bridge", "cloud"}
    assert metrics["split"] == "val"
    assert 0 <= metrics["top1"] <= metrics["top5"] <= 1
    own = ts.cost(read_network(run / "network.json"))
    assert (metrics["params"], metrics["macs"]) == (own.params, own.macs)
    assert metrics["budget_met"] is True
    assert 0 < metrics["max_error"] < 1e-3


def test_config_toml_reads_back_as_the_recipe(run):
    table = read_config(run / "config.toml")
    assert tomllib.loads((run / "config.toml").read_text()) == table
    assert Recipe.from_table(table["recipe"]).epochs == 1


@pytest.mark.parametrize("name", ["model.onnx", "model.xml"])
def test_each_exported_file_gives_the_answers_of_the_model(run, images, name):
    model = ts.load(run / "model.safetensors")
    assert model.card.classes == ("apple", "bridge", "cloud")
    batch = torch.stack([load_image(each, model.preprocessing) for each in sorted(images.rglob("*.png"))])
    with torch.inference_mode():
        expected = model(batch).numpy()
    found = load_engine(run / "exports" / name).run(batch.numpy())
    assert np.abs(found - expected).max() < 1e-3
    assert (found.argmax(1) == expected.argmax(1)).all()


def test_the_report_needs_nothing_but_itself(run):
    text = (run / "report.html").read_text(encoding="utf-8")
    assert re.findall(r"""(?:src|href)=["'](?!data:|#)([^"']+)""", text) == []
    assert re.findall(r"@import|url\((?!['\"]?(?:data:|#))", text) == []
    assert "<script" not in text
    for said in ("efficientnet_b0@macs30M,params2M", "macs", "apple", "exports/model.onnx", "exports/model.xml"):
        assert said in text


def test_what_it_says_at_the_end(run):
    said = (run.parent / "fitted.out").read_text(encoding="utf-8")
    words = [line.split()[0] for line in said.splitlines() if not line.startswith(" ")]
    assert words == ["network", "instead", "instead", "accuracy", "export", "export", "budget", "budget", "report"]
    assert said.count(": met (by arithmetic)") == 2
    assert said.splitlines()[-1] == f"report    {run / 'report.html'}"


def unchanged(run):
    return {each: (each.stat().st_mtime_ns, each.stat().st_size) for each in run.rglob("*") if each.name != ".lock"}


def test_the_same_command_again_says_that_it_is_done(run, images, monkeypatch):
    before = unchanged(run)
    done = triscale(*fit_arguments(images, run))
    assert (done.code, done.out) == (0, "")
    assert done.err.splitlines()[-1] == f"{run}: is done already; its report is {run / 'report.html'}"
    monkeypatch.chdir(run.parent)
    done = triscale(*fit_arguments("photos", "fitted"), "--json")
    assert done.code == 0
    assert json.loads(done.out) == json.loads((run / "metrics.json").read_text())
    assert unchanged(run) == before


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (("--epochs", "2"), "epochs was 1, is now 2"),
        (("--budget", "macs<=20M"), "budget was 'macs<=30M, params<=2M', is now 'macs<=20M'"),
        (("--seed", "1"), "seed was 0, is now 1"),
        (("--no-mirror",), "mirror was True, is now False"),
    ],
)
def test_other_arguments_for_the_same_folder_are_refused_with_the_difference(run, images, changed, said):
    before = unchanged(run)
    wanted = fit_arguments(images, run)
    for option in changed[:1]:
        if option in wanted:
            place = wanted.index(option)
            del wanted[place : place + 2]
    line = refusal(*wanted, *changed)
    assert f"{run}: is a run of other arguments: " in line
    assert said in line
    assert unchanged(run) == before


def test_other_data_for_the_same_folder_is_refused(run, images, tmp_path):
    shutil.copytree(images, tmp_path / "photos")
    (tmp_path / "photos" / "apple" / "000.png").unlink()
    assert "data was '" in refusal(*fit_arguments(tmp_path / "photos", run))


def test_a_network_is_chosen_once(images, tmp_path, monkeypatch):
    """The run is stopped right after the choice; the second call must not choose, nor measure, anything."""
    wanted = Job(images, parse("macs<=10M"), epochs=1)
    dataset = open_dataset(wanted)
    began = []

    def stopped(model, *_):
        began.append(model.network)
        raise KeyboardInterrupt

    def choose(*_):
        raise AssertionError("it was chosen again")

    monkeypatch.setattr(job, "train", stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), RunFolder.open(tmp_path, "fit", wanted.arguments()) as held:
            fit(wanted, held, dataset, lambda *_: None)
        assert read_run(tmp_path).state == "interrupted"
        monkeypatch.setattr(job, "choose", choose)
    assert began[0] == began[1] == read_network(tmp_path / "network.json")


@pytest.fixture
def unfinished(run, tmp_path, monkeypatch):
    """A copy of the finished run that was killed before it exported; latency and report take no time."""
    shutil.copytree(run, tmp_path / "run", ignore=shutil.ignore_patterns("exports", "report.html", ".lock"))
    change(tmp_path / "run", state="running", shipped="model.safetensors")
    monkeypatch.setattr(job, "measure_fresh", lambda path: latency(9.0, 10.0, 11.0))
    monkeypatch.setattr(page, "page", lambda report: report.title)
    return tmp_path / "run"


def latency(*milliseconds):
    return Latency(milliseconds, 50, "onnxruntime", "1", "fp32", 1, "some device")


def change(run, **values):
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, **values}))


def perturbed(model, path, engine, *arguments, export=job.export):
    """Export, then change the written file as a faulty converter would have written it."""
    written = export(model, path, engine, *arguments)
    if engine == "onnx":
        graph = onnx.load(path)
        bias = next(each for each in graph.graph.initializer if each.name.endswith("classifier.bias"))
        bias.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(bias) + np.float32([1, 0, 0]), bias.name))
        onnx.save(graph, path)
    return written


def test_an_export_that_differs_exits_1_and_the_trained_model_is_kept(unfinished, images, monkeypatch):
    trained = (unfinished / "model.safetensors").read_bytes()
    with monkeypatch.context() as broken:
        broken.setattr(job, "export", perturbed)
        done = triscale(*fit_arguments(images, unfinished))
    assert done.code == 1
    assert f"{unfinished / 'exports/model.onnx'}: differs from the model that it was exported from" in done.complaint
    record = read_run(unfinished)
    assert (record.state, record.shipped) == ("failed", "model.safetensors")
    assert "differs from the model" in record.error
    assert (unfinished / "model.safetensors").read_bytes() == trained
    assert (unfinished / "report.html").exists()
    assert triscale("predict", unfinished, images / "apple").code == 0
    assert triscale(*fit_arguments(images, unfinished)).code == 0  # a sound export, and nothing is trained again
    assert (read_run(unfinished).state, read_run(unfinished).shipped) == ("done", "exports/model.onnx")
    assert (unfinished / "model.safetensors").read_bytes() == trained


def test_a_budget_that_does_not_hold_when_measured_again_exits_1(unfinished, images, monkeypatch):
    """The device has become slow since the network was chosen."""
    budget = f"{BUDGET}, latency<=100ms"
    record = read_run(unfinished)
    change(unfinished, arguments={**record.arguments, "budget": budget})
    monkeypatch.setattr(job, "measure_fresh", lambda path: latency(99.0, 120.0, 130.0))
    done = triscale(*fit_arguments(images, unfinished, budget))
    assert done.code == 1
    assert f"{unfinished}: measured again, the network is over its budget: latency 125ms of 100ms" in done.complaint
    assert re.search(r"^budget    latency 125ms of 100ms: NOT MET", done.out, flags=re.MULTILINE)
    assert read_run(unfinished).state == "failed"
    assert json.loads((unfinished / "metrics.json").read_text())["budget_met"] is False


def test_a_limit_holds_at_the_limit_and_not_above_it():
    assert Limit("macs", 100.0, 100.0, "").met
    assert not Limit("macs", 100.0, 100.1, "").met


@pytest.mark.parametrize(
    ("given", "said"),
    [({"epochs": 0}, "epochs must be at least 1, got 0"), ({"recipe": "best"}, "unknown recipe 'best'"),
     ({"seed": -1}, "seed must be at least 0"), ({"seed": 2**64}, r"seed must be below 2\*\*63")],
)  # fmt: skip
def test_a_job_that_no_recipe_takes_cannot_be_written_down(tmp_path, given, said):
    with pytest.raises(TrainingError, match=said):
        Job(tmp_path, parse("macs<=1G"), **given)


def test_where_the_budget_holds_more_than_published_weights_a_grown_network_is_trained(images, tmp_path):
    """Lite2 at 64 pixels, all that these images call for, takes 52M."""
    run = tmp_path / "run"
    done = triscale(*fit_arguments(images, run, "macs<=70M"))
    assert done.code == 0
    chosen = read_choice(run / "choice.json").chosen
    assert (chosen.grown, chosen.weights) == (True, "efficientnet_lite2")
    assert read_run(run).network == {
        "name": "efficientnet_lite0@macs70M",
        "weights": "efficientnet_lite2",
        "grown": True,
    }
    assert ts.load(run / "model.safetensors").network == chosen.network
    assert (
        "grown from efficientnet_lite2, then trained; published ImageNet weights" in (run / "report.html").read_text()
    )
    assert "grown from efficientnet_lite2" in done.out.splitlines()[0]
    assert triscale(*fit_arguments(images, run, "macs<=70M")).err.endswith(f"its report is {run / 'report.html'}\n")


def test_what_is_grown_begins_as_the_published_network_and_the_same_after_a_stop(images):
    made = choose(parse("macs<=70M"), 3, 32, job.known_networks(), [ts.network("efficientnet_lite0")])
    dataset = open_dataset(Job(images, parse("macs<=70M")))
    models = [job.starting_model(made.chosen, dataset, seed) for seed in (0, 0, 1)]
    first, again, other = (torch.cat([p.flatten() for p in model.parameters()]) for model in models)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    published = ts.create_model(replace(ts.network("efficientnet_lite2"), classes=3), "pretrained")
    pixels = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, expected = models[0].features(pixels), published.features(pixels)
    for stride, map_ in expected.items():  # the first channels of a grown map are those of the map it grew from
        error = (found[stride][:, : map_.shape[1]] - map_).abs().max() / map_.abs().max()
        assert error <= 1e-4
    assert models[0].card.classes == ("apple", "bridge", "cloud")
    assert "grown from tf_efficientnet_lite2 to efficientnet_lite0@macs70M" in models[0].card.notes
