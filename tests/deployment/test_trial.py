from dataclasses import replace

import pytest
import torch

from tests.models.helpers import randomised, small_network
from triscale.deployment import trial
from triscale.deployment.export import export
from triscale.deployment.latency import Latency
from triscale.deployment.trial import cache_folder, measures, try_out
from triscale.models.assembler import ConvNet
from triscale.spec import budget
from triscale.spec.card import ModelCard
from triscale.spec.cost import cost

NETWORK = small_network()


@pytest.fixture
def timings(monkeypatch):
    """The full measurements that were asked for; each takes no time and says 1, 2 and 3 ms."""
    counted = []

    def measured(engine):
        counted.append(engine)
        return Latency((1.0, 2.0, 3.0), 50, engine.name, engine.version, engine.precision, engine.threads, "here")

    monkeypatch.setattr(trial, "measure_engine", measured)
    return counted


@pytest.mark.parametrize("engine", ["onnx", "openvino"])
def test_the_size_of_a_trial_has_room_for_what_will_ship(engine, tmp_path):
    classes = ("kočka", 'a "quoted" name', "c", "d", "e")
    found = measures(engine, classes=classes, cache=tmp_path)["size"](NETWORK)
    torch.manual_seed(5)
    model = randomised(ConvNet(NETWORK))
    model.card = ModelCard(classes, origin="trained by triscale on my photographs", licence="CC-BY-4.0")
    shipped = export(model, tmp_path / {"onnx": "m.onnx", "openvino": "m.xml"}[engine]).size_bytes
    assert shipped <= found <= shipped + 5_000


def test_a_network_is_tried_once(timings, tmp_path):
    first = try_out(NETWORK, "onnx", threads=1, cache=tmp_path)
    assert try_out(replace(NETWORK, name="the same by another name"), "onnx", threads=1, cache=tmp_path) == first
    assert len(timings) == 1
    try_out(replace(NETWORK, resolution=(48, 48)), "onnx", threads=1, cache=tmp_path)
    try_out(NETWORK, "onnx", threads=2, cache=tmp_path)
    try_out(NETWORK, "openvino", threads=1, cache=tmp_path)
    assert len(timings) == 4


def test_a_trial_that_was_only_weighed_is_timed_when_its_time_is_asked_for(timings, tmp_path):
    assert try_out(NETWORK, "onnx", timed=False, cache=tmp_path).latency is None
    assert not timings
    assert try_out(NETWORK, "onnx", cache=tmp_path).latency is not None
    assert try_out(NETWORK, "onnx", timed=False, cache=tmp_path).latency is not None
    assert len(timings) == 1


@pytest.mark.parametrize(("limit_ms", "exact"), [(1e-4, False), (1e6, False), (None, True)])
def test_a_network_far_from_the_limit_is_only_glanced_at(limit_ms, exact, timings, tmp_path):
    found = try_out(NETWORK, "onnx", limit_ms=limit_ms, cache=tmp_path)
    assert found.exact == exact == bool(timings)
    assert bool(list(tmp_path.iterdir())) == exact  # and a glance is not remembered


def test_a_damaged_or_read_only_memory_costs_time_and_nothing_else(timings, tmp_path):
    try_out(NETWORK, "onnx", cache=tmp_path)
    (file,) = tmp_path.iterdir()
    file.write_text("{")
    try_out(NETWORK, "onnx", cache=tmp_path)
    assert len(timings) == 2
    assert try_out(NETWORK, "onnx", cache=file / "no folder").latency is not None


def test_the_memory_is_where_the_desktop_keeps_its_own(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "triscale" / "trials"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "triscale" / "trials"


def test_a_trial_leaves_the_random_state_alone(timings, tmp_path):
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    try_out(NETWORK, "onnx", cache=tmp_path)
    assert torch.equal(torch.rand(3), expected)


def test_a_budget_of_megabytes_is_solved_by_weighing_files(tmp_path):
    limits = budget.parse("size<=300KB, params<=1M")
    chosen = budget.solve(NETWORK, limits, measures("onnx", cache=tmp_path))
    torch.manual_seed(0)
    size = export(ConvNet(chosen), tmp_path / "chosen.onnx").size_bytes
    assert 0.8 * 300e3 < size <= 300e3
    assert cost(chosen).params > cost(NETWORK).params


def test_latency_is_given_to_a_budget_in_seconds(timings, tmp_path):
    assert measures("onnx", cache=tmp_path)["latency"](NETWORK) == 2.5e-3
