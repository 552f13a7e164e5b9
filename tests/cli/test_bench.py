import json
import re

import pytest

from tests.fitted import refusal, triscale
from tests.models.helpers import small_model, small_network
from triscale.deployment import benchmark, table_report
from triscale.deployment.drift import Moment
from triscale.deployment.export import export
from triscale.deployment.layers import work
from triscale.deployment.table import LatencyTable
from triscale.models.files import save
from triscale.spec.files import write_network


@pytest.fixture(autouse=True)
def own_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def described(tmp_path):
    """A network file of a network that runs in no time."""
    write_network(small_network(resolution=(64, 64)), tmp_path / "small.json")
    return tmp_path / "small.json"


def test_each_installed_engine_measures_three_times_in_turns(described):
    done = triscale("bench", described, "--threads", 1, "--json")
    assert done.code == 0, done.err
    rows = json.loads(done.out)
    assert [row["engine"] for row in rows] == ["torch", "onnxruntime", "openvino"]
    for row in rows:
        assert (row["model"], row["batch"], row["threads"], row["runs"]) == (str(described), 1, 1, 50)
        assert len(row["measurements_ms"]) == 3
        assert row["median_ms"] == sorted(row["measurements_ms"])[1] <= row["upper_quartile_ms"]
        assert row["images_per_second"] == pytest.approx(1e3 / row["median_ms"])
        assert row["precision"] == "fp32"
        assert row["device"] and row["version"]


def test_several_models_files_and_a_batch(described, tmp_path):
    save(small_model(), tmp_path / "model.safetensors")
    export(small_model(), tmp_path / "model.onnx")
    files = (described, tmp_path / "model.safetensors", tmp_path / "model.onnx")
    done = triscale("bench", *files, "--engine", "onnx", "--batch", 2, "--threads", 1, "--quiet")
    assert (done.code, done.err) == (0, "")
    lines = done.out.splitlines()
    assert re.search(r", 1 thread, batches of 2; three measurements of 50 runs, in turns$", lines[0])
    assert lines[1].split()[:3] == ["model", "engine", "precision"]
    assert [line.split()[0] for line in lines[2:]] == [str(each) for each in files]


def test_a_name_without_weights_is_measured_at_any_size(monkeypatch):
    monkeypatch.setattr(benchmark, "median_ms", lambda call, runs: 4.0 if call().shape == (1, 1000) else None)
    done = triscale("bench", "mobilenet_v3_small", "--size", 32, "--json")
    assert [row["median_ms"] for row in json.loads(done.out)] == [4.0, 4.0, 4.0], done


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_a_table_is_built_once_and_says_what_it_took_from_the_cache(engine, described):
    arguments = ("bench", described, "--table", "--threads", 1, "--engine", engine, "--json")
    (first,), (second,) = (json.loads(triscale(*arguments).out) for _ in range(2))
    assert (first["timed_now"], first["cached"]) == (7, 0)
    assert (second["timed_now"], second["cached"]) == (0, 7)
    assert first["layers"] == second["layers"]
    assert first["sum_ms"] == pytest.approx(sum(row["times"] * row["ms"] for row in first["layers"]))
    assert first["error"] == pytest.approx(first["sum_ms"] / first["measured_at_middle_speed_ms"] - 1)
    assert (first["predicted_error"], first["networks_measured"]) == (None, 0)
    assert second["predicted_error"] is not None
    assert second["networks_measured"] == 1


def test_a_table_for_people(described, monkeypatch):
    monkeypatch.setattr(LatencyTable, "_time", lambda table, layer: 0.25)
    monkeypatch.setattr("triscale.deployment.drift.Reference.__call__", lambda clock: Moment(2.0, 2.0))
    real = table_report.measure_untrained
    monkeypatch.setattr(table_report, "measure_untrained", lambda *given: at_two_ms(real(*given)))
    done = triscale("bench", described, "--table", "--threads", 1)
    assert done.code == 0, done.err
    lines = done.out.splitlines()
    assert lines[1].split() == ["layer", "times", "ms", "in", "all"]
    assert lines[2].split()[-3:] == ["1", "0.250", "0.250"]
    assert lines[-3:-1] == [
        "7 of 7 distinct layers were timed now, 0 were in the table",
        "sum 1.75 ms, whole network 2.00 ms at the same speed of the device: the sum is 12.5% too small",
    ]
    assert lines[-1].startswith("predicted 1.75 ms (no network was timed whole yet")
    assert "timing layers" in done.err


def at_two_ms(latency):
    from dataclasses import replace

    return replace(latency, measurements=(2.0, 2.0, 2.0))


def test_a_latency_budget_is_held_from_the_command_line(described, tmp_path, monkeypatch):
    monkeypatch.setattr(LatencyTable, "_time", lambda table, layer: 0.01 + sum(work(layer)))
    monkeypatch.setattr("triscale.deployment.drift.Reference.__call__", lambda clock: Moment(2.0, 2.0))
    done = triscale("scale", described, "--to", "latency<=500ms, macs<=4M", "--out", tmp_path / "made.json")
    assert done.code == 0, done.err
    assert re.search(r"^latency: .* of 500ms \(", done.out, flags=re.MULTILINE)
    assert re.search(r"^measured in a fresh process: .* ms \(onnxruntime .*; predicted ", done.out, flags=re.MULTILINE)
    assert re.search(r"^speed of this device: .* kept free for its slow moments: ", done.out, flags=re.MULTILINE)
    assert (tmp_path / "made.json").exists()


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ((), "needs MODELS"),
        (("nothing",), "no network is called 'nothing'"),
        (("none.onnx",), "none.onnx: there is no such file; `triscale export` writes it."),
        (("none.safetensors",), "none.safetensors: no such file"),
        (("efficientnet_b0", "--runs", 3), "--runs must be at least 50, or a measurement is none, got 3."),
        (("efficientnet_b0", "--batch", 0), "the batch is 1..4,096 and runs at least 1, got 0 and 50."),
        (("efficientnet_b0", "--threads", 0), "threads must be at least 1, got 0."),
        (("efficientnet_b0", "--size", 1, 2, 3), "--size takes one or two numbers, got 3."),
        (("efficientnet_b0", "--engine", "tf"), 'Choose from: "torch", "onnx", "openvino"'),
        (("efficientnet_b0", "--table", "--batch", 2), "bench --table measures at batch 1 in fp32"),
        (("efficientnet_b0", "--table", "--engine", "torch"), "bench --table has no engine torch"),
        (("efficientnet_b0", "--table", "--threads", 0), "threads must be at least 1, got 0."),
        (("model.onnx", "--table"), "model.onnx: is an exported file"),
        (("model.onnx", "--size", 64), "model.onnx: an exported file reads one size only; leave --size out."),
    ],
)
def test_wrong_input_is_one_line(arguments, complaint):
    assert complaint in refusal("bench", *arguments, "--quiet")


def test_a_network_without_a_classifier_has_no_table(tmp_path):
    write_network(small_network(head=None), tmp_path / "backbone.json")
    assert "has no classifier" in refusal("bench", tmp_path / "backbone.json", "--table")
    assert "has no classifier" in refusal("bench", tmp_path / "backbone.json", "--engine", "onnx")
