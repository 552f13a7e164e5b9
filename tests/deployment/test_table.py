import json
from dataclasses import replace

import pytest

from tests.deployment.device import CALL_MS, FakeDevice, layer_ms
from tests.models.helpers import small_network
from triscale.deployment import table as table_module
from triscale.deployment.layers import layers_of
from triscale.deployment.table import LatencyTable
from triscale.errors import SpecError
from triscale.spec.families import network
from triscale.spec.scaling import compound
from triscale.training.progress import PlainProgress

NETWORK = network("efficientnet_lite0")
DISTINCT = 14


def test_each_distinct_layer_is_timed_once_and_the_prediction_is_their_sum(tmp_path):
    device = FakeDevice()
    table = device.table(tmp_path)
    assert table.fill([NETWORK]) == DISTINCT
    assert len(device.layers) == DISTINCT
    found = table.predict(NETWORK)
    assert found.sum_ms == found.ms == pytest.approx(sum(layer_ms(each) for each in layers_of(NETWORK)))
    assert (found.timed, found.estimated, found.error, found.networks) == (18, 0, None, 0)
    assert str(found).endswith("ms (no network was timed whole yet, so its error is not known)")


def test_a_second_table_in_the_same_place_times_nothing(tmp_path):
    device = FakeDevice()
    device.table(tmp_path).fill([NETWORK])
    again = FakeDevice()
    table = again.table(tmp_path)
    assert table.fill([NETWORK]) == 0
    assert again.layers == []
    assert table.predict(NETWORK) == device.table(tmp_path).predict(NETWORK)


@pytest.mark.parametrize("changed", ["version", "threads", "device", "engine", "triscale", "format"])
def test_another_device_or_version_times_all_layers_again(changed, monkeypatch, tmp_path):
    FakeDevice().table(tmp_path).fill([NETWORK])
    engine, threads = "onnx", 2
    if changed in ("version", "triscale"):
        library = "onnxruntime" if changed == "version" else "triscale"
        own = table_module.version_of
        monkeypatch.setattr(table_module, "version_of", lambda name: "9.9" if name == library else own(name))
    elif changed == "device":
        monkeypatch.setattr(table_module, "device_name", lambda: "another processor")
    elif changed == "format":
        monkeypatch.setattr(table_module, "FORMAT", table_module.FORMAT + 1)
    elif changed == "threads":
        threads = 1
    else:
        engine = "openvino"
    device = FakeDevice()
    assert LatencyTable(engine, threads, tmp_path, device.timer, device.clock).fill([NETWORK]) == DISTINCT


@pytest.mark.parametrize("damage", ["", "{", '{"timed": {}}', "[]", "null"])
def test_a_torn_file_is_timed_again(damage, tmp_path):
    FakeDevice().table(tmp_path).fill([NETWORK])
    torn = sorted(tmp_path.rglob("layers/*.json"))[3]
    torn.write_text(damage)
    device = FakeDevice()
    assert device.table(tmp_path).fill([NETWORK]) == 1
    assert json.loads(torn.read_text())["timed"]["ms"] > 0


@pytest.mark.parametrize("ms", ["0", "-1", "1e999", "NaN"])
def test_a_time_that_cannot_be_is_timed_again(ms, tmp_path):
    FakeDevice().table(tmp_path).fill([NETWORK])
    file = sorted(tmp_path.rglob("layers/*.json"))[0]
    values = json.loads(file.read_text())
    file.write_text(file.read_text().replace(f'"ms": {values["timed"]["ms"]!r}', f'"ms": {ms}', 1))
    assert FakeDevice().table(tmp_path).fill([NETWORK]) == 1


def test_ctrl_c_keeps_what_was_timed(tmp_path, capsys):
    device = FakeDevice()

    def stopped(layer):
        if len(device.layers) == 5:
            raise KeyboardInterrupt
        return device.timer(layer)

    with pytest.raises(KeyboardInterrupt):
        device.table(tmp_path, timer=stopped).fill([NETWORK], PlainProgress(every=0.0))
    assert "timing layers: 5/14" in capsys.readouterr().err
    assert device.table(tmp_path).fill([NETWORK]) == DISTINCT - 5


def test_a_table_that_cannot_be_written_costs_time_and_nothing_else(tmp_path):
    (tmp_path / "file").write_text("")
    table = FakeDevice().table(tmp_path / "file" / "no folder")
    assert table.fill([NETWORK]) == DISTINCT
    assert table.predict(NETWORK).sum_ms > 0


def test_layers_timed_at_a_slow_moment_count_as_at_any_other(tmp_path):
    """Half of the moments are 1.3 times slower; the reference says when."""
    table = FakeDevice(slow=1.3).table(tmp_path)
    table.fill([NETWORK])
    whole = sum(layer_ms(each) for each in layers_of(NETWORK))
    assert whole <= table.predict(NETWORK).sum_ms <= 1.3 * whole
    ratios = {round(table.layer_ms(each) / layer_ms(each), 2) for each in layers_of(NETWORK)}
    # But for those between two moments, all layers are at one speed.
    assert len(ratios) <= 2
    assert max(ratios) / min(ratios) < 1.16


def test_the_error_is_that_of_networks_timed_whole(tmp_path):
    device = FakeDevice(bias=1.1)
    table = device.table(tmp_path)
    networks = [compound(NETWORK, phi) for phi in (-2.0, -1.0, 0.0)]
    table.fill(networks)
    for number, each in enumerate(networks, start=1):
        table.whole(each, lambda each=each: device.latency(each))
        found = table.predict(networks[0])
        assert found.networks == number
        if number < 3:
            assert found.ms == found.sum_ms
            assert 0.1 < found.error < 0.15  # what the layers do not know: a tenth, and the call
    # From three on, what they all have in common is corrected.
    assert found.ms == pytest.approx(device.network_ms(networks[0]), rel=0.02)
    assert found.error < 0.02
    assert device.table(tmp_path).predict(networks[0]) == found
    assert "(error on 3 networks timed whole)" in str(found)


def test_networks_of_a_family_are_estimated_once_it_is_prepared(tmp_path):
    device = FakeDevice()
    table = device.table(tmp_path)
    with pytest.raises(SpecError, match="was not timed, and too few others were; fill the table first"):
        table.predict(NETWORK)
    assert table.prepare(NETWORK) == len(device.layers) > 3 * DISTINCT
    for phi in (-5.0, -1.5, 1.0, 2.0):
        wanted = compound(NETWORK, phi)
        found = table.predict(wanted)
        assert found.estimated > 0
        assert found.sum_ms == pytest.approx(device.network_ms(wanted) - CALL_MS, rel=0.03)
        assert table.prepare(wanted) == 0


def test_a_kind_of_which_scaling_gives_too_few_is_not_timed_over_and_over(tmp_path):
    device = FakeDevice()
    table = device.table(tmp_path)
    narrow = replace(small_network(), stages=small_network().stages[:1])
    table.prepare(narrow)
    timed = len(device.layers)
    for phi in (0.5, 1.0, 1.5):
        assert table.prepare(compound(narrow, phi)) == 0
    assert len(device.layers) == timed
