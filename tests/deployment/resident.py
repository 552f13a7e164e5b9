"""Prints by how many bytes a process grows when it loads and runs one fused network: `python resident.py NAME SIZE`.

Run in a fresh process: the high-water mark of the resident set never falls.
"""

import gc
import sys
from pathlib import Path

import torch

from triscale.deployment.fuse import fuse
from triscale.models.assembler import ConvNet
from triscale.spec.families import network
from triscale.spec.network import as_size


def in_bytes(field):
    """A line of /proc/self/status in bytes. (getrusage's peak would include the parent's, from before the fork.)"""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def resident():
    """Resident bytes now."""
    return in_bytes("VmRSS")


def highest():
    """The most resident bytes so far."""
    return in_bytes("VmHWM")


def shipped(name, size):
    """A fused network ready to run, and nothing else left of what made it."""
    fused = fuse(ConvNet(network(name)), size)
    fused.to(memory_format=torch.channels_last)
    gc.collect()
    return fused


def main():
    torch.set_num_threads(1)
    name, size = sys.argv[1], as_size(int(sys.argv[2]))
    with torch.inference_mode():
        shipped("efficientnet_lite0", (64, 64))(
            torch.rand(1, 3, 64, 64)
        )  # the library's own memory is not the network's
        gc.collect()
        before = resident()
        fused = shipped(name, size)
        loaded = highest()
        fused(torch.rand(1, 3, *size).contiguous(memory_format=torch.channels_last))
    assert highest() > loaded, "the peak was reached before the network ran"
    print(highest() - before)


if __name__ == "__main__":
    main()
