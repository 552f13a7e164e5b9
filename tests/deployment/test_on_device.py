import math
import random
import statistics

import pytest

from tests.deployment.device import FakeDevice
from triscale.deployment import on_device
from triscale.deployment.on_device import predictions, solve_on_device
from triscale.errors import BudgetError
from triscale.spec.budget import Budget, parse
from triscale.spec.families import network

NETWORK = network("efficientnet_lite0")


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """Makes a device, and a table of it; both kinds of measurement ask the device."""

    def make(**changes):
        device = FakeDevice(**changes)
        seconds = {"latency": lambda net: device.latency(net).upper_quartile_ms / 1e3, "size": on_device.file_bytes}
        monkeypatch.setattr(on_device, "measures", lambda *given, **named: seconds)
        monkeypatch.setattr(on_device, "measure_untrained", lambda net, engine, threads: device.latency(net))
        return device, device.table(tmp_path)

    return make


def drawn(device, count, seed=0):
    """Limits in seconds between 0.2 and 8 times of what the baseline takes."""
    draw = random.Random(seed)
    own = device.network_ms(NETWORK) / 1e3
    return [own * math.exp(draw.uniform(math.log(0.2), math.log(8))) for _ in range(count)]


@pytest.mark.parametrize(("bias", "noise"), [(1.0, 0.0), (1.2, 0.02), (0.8, 0.02)])
def test_limits_hold_in_the_fresh_process_and_are_used_well(bias, noise, fake):
    device, table = fake(bias=bias, noise=noise)
    used, again = [], []
    for limit in drawn(device, 30):
        found = solve_on_device(NETWORK, Budget({"latency": limit}), table=table)
        used.append(found.values["latency"] / limit)
        again.append(device.latency(found.network).upper_quartile_ms / 1e3 / limit)
    assert max(used) <= 1
    assert statistics.mean(used) >= 0.88
    assert sum(each <= 1 for each in again) >= 29
    assert max(again) <= 1.05


def test_there_is_room_for_slow_moments_that_were_seen(fake):
    """A device that is 1.15 times slower half of the time: what was solved at a fast moment holds at a slow one."""
    device, table = fake(slow=1.15)
    for limit in drawn(device, 15):
        found = solve_on_device(NETWORK, Budget({"latency": limit}), table=table)
        assert 1.15 * device.network_ms(found.network) / 1e3 <= 1.02 * limit
        assert 1.0 <= found.slowdown <= 1.15
    assert found.spread[1] / found.spread[0] == pytest.approx(1.15, abs=0.02)


def test_what_came_out_is_told_with_its_prediction(fake):
    device, table = fake(bias=1.1)
    found = solve_on_device(NETWORK, parse("latency<=2ms, macs<=2G"), table=table)
    assert found.latency.median_ms == pytest.approx(device.network_ms(found.network))
    assert found.prediction.sum_ms == pytest.approx(found.latency.median_ms, rel=0.15)
    assert found.values["macs"] <= 2e9
    told = found.as_json()
    assert told["measured"]["latency"] == found.latency.upper_quartile_ms / 1e3
    assert told["prediction"]["networks"] >= 1


def test_everything_is_measured_with_the_threads_of_the_table(fake, monkeypatch):
    device, table = fake()
    given = []

    def seconds(*_, threads=None, **named):
        given.append(threads)
        return {"latency": lambda net: device.latency(net).upper_quartile_ms / 1e3}

    monkeypatch.setattr(on_device, "measures", seconds)
    solve_on_device(NETWORK, parse("latency<=2ms"), table=table)
    assert given == [table.threads]


def test_a_fresh_process_that_takes_longer_leads_to_a_smaller_network(fake, monkeypatch):
    _, table = fake()
    slower = FakeDevice(bias=1.08)
    monkeypatch.setattr(on_device, "measure_untrained", lambda net, engine, threads: slower.latency(net))
    found = solve_on_device(NETWORK, parse("latency<=3ms"), table=table)
    assert 0.85 * 3e-3 <= found.values["latency"] <= 3e-3
    assert len(slower.networks) >= 2


def test_a_device_that_never_measures_the_same_is_told_so(fake, monkeypatch):
    _, table = fake()
    slower = FakeDevice(bias=5.0)
    monkeypatch.setattr(on_device, "measure_untrained", lambda net, engine, threads: slower.latency(net))
    monkeypatch.setattr(on_device, "CONFIRMATIONS", 2)
    with pytest.raises(BudgetError, match=r"latency<=3ms: this device's speed changes too much .* stop what else is"):
        solve_on_device(NETWORK, parse("latency<=3ms"), table=table)


def test_an_impossible_limit_names_the_smallest_and_that_is_reached(fake):
    _, table = fake()
    with pytest.raises(BudgetError, match="nothing of efficientnet_lite0") as refusal:
        solve_on_device(NETWORK, parse("latency<=1us"), table=table)
    smallest = str(refusal.value).split("reached has ")[1].split(";")[0]
    found = solve_on_device(NETWORK, parse(smallest.replace("latency ", "latency<=")), table=table)
    assert found.values["latency"] <= parse(smallest.replace("latency ", "latency<=")).limits["latency"]


def test_megabytes_alone_are_weighed_and_nothing_is_timed(fake):
    device, table = fake()
    found = solve_on_device(NETWORK, parse("size<=12MB"), table=table)
    assert 0.9 * 12e6 <= found.values["size"] <= 12e6
    assert (device.layers, device.networks, found.latency) == ([], [], None)


def test_predictions_time_the_layers_of_a_new_family_once(fake):
    device, table = fake()
    rough = predictions(table)
    assert rough["latency"](NETWORK) == pytest.approx(device.network_ms(NETWORK) / 1e3, rel=0.05)
    timed = len(device.layers)
    rough["latency"](NETWORK)
    assert len(device.layers) == timed > 0
