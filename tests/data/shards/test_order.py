"""The order in which shards are read: everything once, few shards at a time, and a pure function of (seed, epoch)."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.data.dataset import Sample
from triscale.data.loader import Batches
from triscale.data.member import Member
from triscale.data.shards import order
from triscale.data.shards.index import LocalShard
from triscale.data.shards.order import blocks_of, reading
from triscale.spec.preprocessing import Preprocessing


def samples_in(counts, length=100):
    """Samples of shards with so many images of 100 bytes; neighbours lie in different shards, as names are sorted."""
    shards = [LocalShard(Path(f"{number}.tar")) for number in range(len(counts))]
    made = [
        Sample(Member(shards[shard], length * place, length, f"{place}.png"), 0)
        for place in range(max(counts))
        for shard in range(len(counts))
        if place < counts[shard]
    ]
    return tuple(made)


@pytest.fixture
def small_window(monkeypatch):
    monkeypatch.setattr(order, "WINDOW_BYTES", 1000)


def shard_numbers(samples, indices):
    return [int(Path(samples[index].path.shard.name).stem) for index in indices]


def test_what_fits_into_a_window_is_shuffled_like_files():
    samples = samples_in([4, 4, 4])
    made = reading(12, blocks_of(samples), np.random.default_rng([3, 5]))
    assert made.order.tolist() == np.random.default_rng([3, 5]).permutation(12).tolist()
    assert made.starts == (0,)
    assert reading(12, None, np.random.default_rng([3, 5])).order.tolist() == made.order.tolist()


def test_larger_sets_are_read_window_by_window(small_window):
    samples = samples_in([5] * 8)  # 500 bytes each: two make a window
    made = reading(40, blocks_of(samples), np.random.default_rng(0))
    assert sorted(made.order.tolist()) == list(range(40))
    assert made.starts == (0, 10, 20, 30)
    for start, shards in zip(made.starts, made.windows, strict=True):
        inside = shard_numbers(samples, made.order[start : start + 10])
        assert {f"{number}.tar" for number in inside} == {shard.name for shard in shards}
        assert len(set(inside)) == 2
        assert inside != sorted(inside)  # the two are mixed


def test_each_epoch_mixes_other_shards(small_window):
    samples = samples_in([5] * 8)
    pairs = [
        reading(40, blocks_of(samples), np.random.default_rng([0, epoch])).windows for epoch in range(4)
    ]  # fmt: skip
    assert len({frozenset(frozenset(window) for window in each) for each in pairs}) == 4


def test_without_shuffling_a_large_set_is_read_in_the_order_of_its_bytes(small_window):
    samples = samples_in([5] * 8)
    made = reading(40, blocks_of(samples), None)
    assert shard_numbers(samples, made.order) == [number for number in range(8) for _ in range(5)]
    offsets = [samples[index].path.offset for index in made.order]
    assert offsets == [100 * place for _ in range(8) for place in range(5)]
    assert reading(4, blocks_of(samples[:4]), None).order.tolist() == [0, 1, 2, 3]


@given(st.lists(st.integers(1, 12), min_size=1, max_size=9), st.integers(0, 5))
def test_every_sample_comes_once_and_no_window_is_too_large(counts, seed):
    samples = samples_in(counts)
    blocks = blocks_of(samples)
    before, order.WINDOW_BYTES = order.WINDOW_BYTES, 1000
    try:
        made = reading(len(samples), blocks, np.random.default_rng(seed))
    finally:
        order.WINDOW_BYTES = before
    assert sorted(made.order.tolist()) == list(range(len(samples)))
    bounds = [*made.starts, len(samples)]
    for window, first, last in zip(made.windows, bounds, bounds[1:], strict=False):
        assert len(window) == 1 or (last - first) * 100 <= 1000


def test_a_shard_counts_up_to_its_last_sample():
    shard = LocalShard(Path("a.tar"))
    places = [Member(shard, 512, 10, "a.png"), Member(shard, 5000, 10, "b.png")]
    assert blocks_of([Sample(place, 0) for place in places]).size.tolist() == [5010]


def test_files_have_no_blocks():
    assert blocks_of([Sample(Path("a.png"), 0)]) is None
    assert blocks_of([*samples_in([1]), Sample(Path("a.png"), 0)]) is None


def test_an_epoch_of_batches_is_the_same_however_it_is_begun(small_window):
    samples = samples_in([5] * 8)
    orders = [Batches(samples, Preprocessing(size=(8, 8)), 4, shuffle=True, seed=7).order(2) for _ in range(2)]
    assert orders[0].tolist() == orders[1].tolist()
    assert orders[0].tolist() != Batches(samples, Preprocessing(size=(8, 8)), 4, shuffle=True).order(2).tolist()
