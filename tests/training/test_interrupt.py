"""The first Ctrl-C asks, the second stops."""

import os
import signal
import threading

import pytest

from triscale.training.interrupt import stop_on_signal


def test_the_first_signal_asks_and_the_second_interrupts():
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stop:
        assert not stop.asked
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.asked
        os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_sigterm_asks_too_and_handlers_come_back():
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt), stop_on_signal() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        assert stop.asked
    assert signal.getsignal(signal.SIGTERM) == before


def test_who_is_asked_too_late_to_look_is_interrupted_behind_the_block():
    after = []
    with pytest.raises(KeyboardInterrupt):
        with stop_on_signal():
            os.kill(os.getpid(), signal.SIGINT)
        after.append("went on")
    assert after == []


def test_outside_the_main_thread_nothing_is_asked():
    asked = []

    def work():
        with stop_on_signal() as stop:
            asked.append(stop.asked)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert asked == [False]
