"""Ctrl-C behind engines: a library leaves a signal stack that is memory no more."""

import ctypes
import subprocess
import sys

import pytest

from triscale.deployment.export import export
from triscale.deployment.signal_stack import _Stack, kept_signal_stack
from triscale.models.assembler import ConvNet
from triscale.spec.block import Block
from triscale.spec.network import Head, Network, Stem, stage

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the layout of stack_t is Linux's")

# Two engines that go in the order in which they came, as those of `bench` and `fit` do.
INTERRUPTED = """
import ctypes, gc, os, signal, sys
from triscale.deployment.engine import load_engine
first = load_engine(sys.argv[1])
second = load_engine(sys.argv[1])
del first
gc.collect()
del second
gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
    signal.pause()
except KeyboardInterrupt:
    sys.exit(42)
"""


def stack():
    found = _Stack()
    assert ctypes.CDLL(None).sigaltstack(None, ctypes.byref(found)) == 0
    return found.sp, found.flags, found.size


def test_what_a_block_changes_is_put_back():
    before, memory = stack(), ctypes.create_string_buffer(1 << 16)
    with kept_signal_stack():
        other = _Stack(ctypes.addressof(memory), 0, 1 << 16)
        assert ctypes.CDLL(None).sigaltstack(ctypes.byref(other), None) == 0
        assert stack() == (ctypes.addressof(memory), 0, 1 << 16)
    assert stack() == before


def test_ctrl_c_behind_openvino_interrupts_and_does_not_crash(tmp_path):
    network = Network("small", Stem(8), (stage(Block("mbconv", 8)),), Head(16), resolution=(16, 16), classes=3)
    path = export(ConvNet(network).eval(), tmp_path / "small.xml").path
    done = subprocess.run([sys.executable, "-c", INTERRUPTED, str(path)], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (42, "")
