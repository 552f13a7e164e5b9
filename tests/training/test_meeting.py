"""Processes meet in a store that still holds what an earlier attempt wrote."""

import threading
from datetime import timedelta

import pytest
import torch.distributed as dist

from triscale.training.meeting import own_store


def met(store, size, seconds=20.0):
    """What each of `size` processes calls its part of the store, here as threads with connections of their own."""
    found = {}

    def join(rank):
        client = dist.TCPStore("127.0.0.1", store.port, is_master=False, timeout=timedelta(seconds=seconds))
        own = own_store(client, rank, size, seconds)
        own.set(f"hello/{rank}", str(rank))
        own.wait([f"hello/{other}" for other in range(size)])
        found[rank] = own

    threads = [threading.Thread(target=join, args=(rank,)) for rank in range(size)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(seconds)
    return found


@pytest.fixture
def store():
    return dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False, timeout=timedelta(seconds=20))


@pytest.mark.parametrize("size", [1, 2, 4])
def test_all_meet_in_the_same_part_and_each_attempt_in_another(store, size):
    for _ in range(3):  # attempts, one after another in one store
        found = met(store, size)
        assert sorted(found) == list(range(size))
        assert all(own.get("hello/0") == b"0" for own in found.values())
        assert not found[0].check(["of the last attempt"])
        found[0].set("of the last attempt", "here")


def test_what_a_process_that_is_gone_had_asked_is_no_hindrance(store):
    store.set("triscale/asks/1", "one that was killed")
    assert sorted(met(store, 2)) == [0, 1]


def test_whoever_does_not_come_is_named(store):
    with pytest.raises(dist.DistStoreError, match=r"waited 0 s for process 1, 2"):
        own_store(store, 0, 3, 0.2)
