from dataclasses import replace

import pytest

from triscale.errors import BudgetError
from triscale.spec.families import network
from triscale.spec.limits import Budget, counted, measured, parse, quantity


@pytest.mark.parametrize(
    ("text", "limits"),
    [
        ("macs<=1.2G", {"macs": 1_200_000_000}),
        ("macs<=1.2G, params<=8M", {"macs": 1_200_000_000, "params": 8_000_000}),
        (" params <= 8_000_000 ", {"params": 8_000_000}),
        ("params≤8m", {"params": 8_000_000}),
        ("activations<=20M,memory<=200MB", {"activations": 20_000_000, "memory": 200_000_000}),
        ("memory<=1.5GiB", {"memory": 1.5 * 2**30}),
        ("size<=512kb", {"size": 512_000}),
        ("latency<=12ms", {"latency": 0.012}),
        ("latency<=800 us", {"latency": 0.0008}),
        ("latency<=800µs", {"latency": 0.0008}),
        ("latency<=1.5s", {"latency": 1.5}),
        ("macs<=3e8", {"macs": 300_000_000}),
        ("params<=2T", {"params": 2e12}),
    ],
)
def test_a_budget_is_read(text, limits):
    assert parse(text).limits == limits


@pytest.mark.parametrize("text", ["8.2M", "4.35M", "1.1M", "0.7M", "19.341616M"])
def test_a_decimal_limit_is_exact_so_that_a_network_of_exactly_that_is_inside(text):
    assert parse(f"params<={text}").limits["params"] == round(float(text[:-1]) * 1e6)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mac<=1G", "unknown word 'mac'; did you mean 'macs'"),
        ("MACs<=1G", "unknown word 'MACs'; did you mean 'macs'"),
        ("parameters<=1M", "unknown word 'parameters'; did you mean 'params'"),
        ("flops<=1G", "unknown word 'flops'; multiply-accumulates are called 'macs' here"),
        ("wings<=2", "unknown word 'wings'; Known: params, macs, activations, memory, size, latency"),
        ("macs<=1Q", "macs has unknown unit 'Q'; known: K, M, G, T"),
        ("macs<=1GB", "macs has unknown unit 'GB'"),
        ("memory<=200M", "memory has unknown unit 'M'; known: B, KB, MB, GB, KiB, MiB, GiB"),
        ("memory<=200000", "memory has unknown unit ''"),
        ("latency<=12", "latency has unknown unit ''; known: us, ms, s"),
        ("latency<=12min", "latency has unknown unit 'min'"),
        ("macs<=1G, macs<=2G", "macs is limited twice; give it once"),
        ("macs<=0", "macs must be above zero and finite, got 0"),
        ("macs<=0.0G", "macs must be above zero and finite, got 0.0G"),
        ("macs<=1e999", "macs must be above zero and finite, got 1e999"),
        ("macs<=-1G", r"cannot read 'macs<=-1G'; write limits as"),
        ("macs<1G", r"cannot read 'macs<1G'"),
        ("macs>=1G", r"cannot read 'macs>=1G'"),
        ("macs<=1G params<=8M", "cannot read"),
        ("macs<=nan", "cannot read"),
        ("macs<=1G,", "nothing beside one of its commas; write limits as"),
        ("", "it is empty; write limits as"),
        ("1G", "cannot read '1G'"),
    ],
)
def test_a_budget_that_cannot_be_read_says_where(text, message):
    with pytest.raises(BudgetError, match=message) as refusal:
        parse(text)
    assert str(refusal.value).startswith(f"budget {text!r}: ")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("word", "value", "text"),
    [
        ("macs", 385_814_752, "385.8M"),
        ("macs", 1_200_000_000, "1.2G"),
        ("params", 12, "12"),
        ("memory", 200_000_000, "200MB"),
        ("latency", 0.0123, "12.3ms"),
        ("latency", 2.0, "2s"),
    ],
)
def test_quantities_are_written_with_the_largest_unit_and_four_digits(word, value, text):
    assert quantity(word, value) == text
    assert quantity(word, value, up=True) in (text, "385.9M")


@pytest.mark.parametrize("value", [1_305_744, 385_814_752, 999_999, 1_234_001, 7, 123_456_789_012_345])
def test_a_quantity_that_is_rounded_up_is_never_below_its_value(value):
    for word in ("params", "macs"):
        assert parse(f"{word}<={quantity(word, value, up=True)}").limits[word] >= value


def test_a_budget_is_written_as_it_is_read():
    text = "macs<=1.2G, params<=8M, latency<=12ms, memory<=200MB"
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_what_is_used_is_a_share_of_each_limit():
    assert Budget({"macs": 1000.0, "params": 10.0}).used({"macs": 500, "params": 11, "memory": 1}) == {
        "macs": 0.5,
        "params": 1.1,
    }


def test_the_counted_words_are_the_cost_at_the_networks_own_size():
    net = network("efficientnet_b0")
    assert counted(net) == {
        "params": 5_288_548,
        "macs": 385_814_752,
        "activations": 6_747_036,
        "memory": counted(net)["memory"],
    }
    assert counted(replace(net, resolution=(448, 448)))["macs"] == 1_537_537_408  # golden/scaling.json, table 7


def test_measures_are_called_only_where_the_counted_limits_hold():
    calls = []

    def latency(net):
        calls.append(net.name)
        return 0.01

    net = network("efficientnet_b0")
    assert measured(net, parse("macs<=1M, latency<=1s"), {"latency": latency})["latency"] == float("inf")
    assert calls == []
    assert measured(net, parse("macs<=1G, latency<=1s"), {"latency": latency})["latency"] == 0.01
    assert calls == ["efficientnet_b0"]
