import json
import statistics

import pytest

from tests.models.helpers import small_model
from triscale.deployment import latency
from triscale.deployment.export import export
from triscale.deployment.latency import Latency, device_name, measure, measure_fresh, median_ms
from triscale.errors import FileError


@pytest.fixture
def path(tmp_path):
    export(small_model(), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def made(*measurements):
    return Latency(measurements, 50, "onnxruntime", "1.0", "fp32", 2, "a processor")


def test_a_limit_is_held_against_the_upper_quartile_of_three_medians():
    assert made(3.0, 1.0, 2.0).median_ms == 2.0
    assert made(3.0, 1.0, 2.0).upper_quartile_ms == 2.5  # half way between the middle one and the slowest


def test_a_latency_reads_as_one_line():
    assert str(made(3.0, 1.0, 2.0)) == "2.00 ms (onnxruntime 1.0, fp32, 2 threads, a processor)"


def test_a_measurement_is_the_median_of_its_runs_without_the_warm_up(monkeypatch):
    clock = iter([tick for duration in (5, 1, 9) for tick in (0, duration * 1_000_000)])
    monkeypatch.setattr(latency.time, "perf_counter_ns", lambda: next(clock))
    calls = []
    assert median_ms(lambda: calls.append(1), runs=3, warm_up=4) == 5.0
    assert len(calls) == 7


def test_three_measurements_of_fifty_runs_are_taken(path):
    found = measure(path, threads=1)
    assert len(found.measurements) == 3
    assert found.runs == 50
    assert min(found.measurements) > 0
    assert found.median_ms == statistics.median(found.measurements)
    assert (found.engine, found.precision, found.threads) == ("onnxruntime", "fp32", 1)
    assert found.device == device_name() != ""


def test_a_fresh_process_measures_the_same_file(path):
    found = measure_fresh(path, threads=1)
    assert len(found.measurements) == 3
    assert (found.engine, found.threads, found.device) == ("onnxruntime", 1, device_name())


def test_what_goes_wrong_in_the_fresh_process_is_one_line_here(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"nothing")
    with pytest.raises(FileError, match=r"model\.onnx: cannot be loaded") as caught:
        measure_fresh(tmp_path / "model.onnx")
    assert "\n" not in str(caught.value)


def test_the_module_prints_a_line_of_json(path, capsys):
    assert latency.main([str(path), "--threads", "1"]) == 0
    assert len(json.loads(capsys.readouterr().out)["measurements"]) == 3
    assert latency.main(["none.onnx"]) == 2
    assert capsys.readouterr().err == "none.onnx: there is no such file; `triscale export` writes it.\n"
