"""What a step frees is there for the next one, and is given back behind training."""

import resource

import pytest
import torch

from triscale.training.allocator import freed_memory_kept


def faults(megabytes):
    """Pages that were taken anew by ten rounds of blocks as a step has them."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        blocks = [torch.ones(megabytes * 2**18) for _ in range(2)]
        del blocks
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def resident():
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * resource.getpagesize()


def test_the_next_step_takes_no_new_pages():
    with freed_memory_kept() as kept:
        if not kept:
            pytest.skip("not glibc")
        faults(64)
        assert faults(64) < 2 * 64 * 256  # one round of ten at most


def test_memory_is_given_back_behind_the_block():
    before = resident()
    with freed_memory_kept() as kept:
        if not kept:
            pytest.skip("not glibc")
        faults(64)
        inside = resident()
    assert inside > before + 64 * 2**20
    assert resident() < before + 32 * 2**20


def test_nothing_happens_without_glibc(monkeypatch):
    monkeypatch.setattr("sys.platform", "win32")
    with freed_memory_kept() as kept:
        assert not kept
