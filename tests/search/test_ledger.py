"""The ledger: nothing that was paid for is lost, whatever happens to whoever writes it."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from triscale.errors import FileError, SearchError
from triscale.search.ledger import Entry, Ledger, Question

SUBJECT = {"search": "coefficients", "data": "abc", "recipe": "small-data"}


def entry(number, **changes):
    values = {
        "key": f"k{number}", "seed": 0, "steps": 10, "name": f"net-{number}", "depth": 1.0, "width": 1.1,
        "resolution": 1.0, "score": number / 10, "failure": "", "params": 10, "macs": 20, "seconds": 0.5,
    }  # fmt: skip
    return Entry(**{**values, **changes})


def test_what_was_added_is_found_again_by_another_process(tmp_path):
    ledger = Ledger(tmp_path / "ledger.jsonl", SUBJECT)
    for number in range(3):
        ledger.add(entry(number))
    again = Ledger(tmp_path / "ledger.jsonl", SUBJECT)
    assert again.entries() == [entry(number) for number in range(3)]
    assert again.find(Question("k1", 0, 10)) == entry(1)
    assert again.find(Question("k1", 1, 10)) is None


@pytest.mark.parametrize("name", SUBJECT)
def test_a_ledger_of_another_search_is_refused_with_the_difference(tmp_path, name):
    Ledger(tmp_path / "ledger.jsonl", SUBJECT)
    with pytest.raises(SearchError, match=f"{name} is '{SUBJECT[name]}' there and 'other' here"):
        Ledger(tmp_path / "ledger.jsonl", SUBJECT | {name: "other"})


@pytest.mark.parametrize("text", ["[1, 2]\n", '{"format": "other"}\n', "\x00\x01\n", '{"format": "triscale-ledger"}\n'])
def test_a_file_that_is_no_ledger_is_left_alone(tmp_path, text):
    path = tmp_path / "ledger.jsonl"
    path.write_text(text)
    with pytest.raises(FileError, match="is no ledger of a search"):
        Ledger(path, SUBJECT)
    assert path.read_text() == text


def test_a_newer_version_is_refused(tmp_path):
    Ledger(tmp_path / "ledger.jsonl", SUBJECT)
    text = (tmp_path / "ledger.jsonl").read_text().replace('"version": 1', '"version": 2')
    (tmp_path / "ledger.jsonl").write_text(text)
    with pytest.raises(FileError, match="version 2, this triscale reads 1"):
        Ledger(tmp_path / "ledger.jsonl", SUBJECT)


@pytest.mark.parametrize("left", [1, 20, 150])
def test_a_line_that_a_crash_cut_off_is_left_out_and_the_next_one_is_whole(tmp_path, left):
    path = tmp_path / "ledger.jsonl"
    ledger = Ledger(path, SUBJECT)
    ledger.add(entry(0))
    before = path.stat().st_size
    ledger.add(entry(1))
    os.truncate(path, before + left)
    again = Ledger(path, SUBJECT)
    assert again.entries() == [entry(0)]
    again.add(entry(2))
    assert again.entries() == Ledger(path, SUBJECT).entries() == [entry(0), entry(2)]


def test_a_head_that_a_crash_cut_off_is_written_again(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path, SUBJECT)
    os.truncate(path, 10)
    Ledger(path, SUBJECT).add(entry(0))
    assert Ledger(path, SUBJECT).entries() == [entry(0)]


def test_the_first_of_two_answers_to_one_question_counts(tmp_path):
    one, other = (Ledger(tmp_path / "ledger.jsonl", SUBJECT) for _ in range(2))
    one.add(entry(0))
    other.add(entry(0, score=0.9))
    assert one.entries() == other.entries() == [entry(0)]


WRITER = """
import sys
sys.path.insert(0, {tests!r})
from tests.search.test_ledger import SUBJECT, entry
from triscale.search.ledger import Ledger
ledger = Ledger({path!r}, SUBJECT)
print("ready", flush=True)
for number in range({first}, {first} + 100000):
    ledger.add(entry(number))
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_loses_nothing_that_it_had_added(tmp_path):
    path = tmp_path / "ledger.jsonl"
    root = str(Path(__file__).parents[2])
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER.format(tests=root, path=str(path), first=first)],
            stdout=subprocess.PIPE, text=True, start_new_session=True,
        )
        for first in (0, 10**6)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout.readline() == "ready\n"
    time.sleep(0.3)
    written = []
    for writer in writers:
        os.kill(writer.pid, signal.SIGKILL)
        written += [int(line) for line in writer.communicate()[0].split()]
    assert written
    found = {int(each.key[1:]) for each in Ledger(path, SUBJECT).entries()}
    assert set(written) <= found
    assert len(found) <= len(written) + 2  # what each was about to say


def test_a_hundred_thousand_answers_open_within_seconds(tmp_path):
    path = tmp_path / "ledger.jsonl"
    Ledger(path, SUBJECT).add(entry(0))
    line = path.read_text().splitlines()[1]
    with path.open("a") as file:
        for number in range(1, 100_000):
            file.write(json.dumps(json.loads(line) | {"key": f"k{number}"}) + "\n")
    began = time.process_time()
    assert len(Ledger(path, SUBJECT)) == 100_000
    assert time.process_time() - began < 5  # one, without anything beside it: benchmarks/search.py
