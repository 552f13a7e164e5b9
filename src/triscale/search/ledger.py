"""Ledger: every answer that a search has paid for, one line each, so that a killed search asks nothing twice."""

from __future__ import annotations

import fcntl
import gc
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import msgspec

from triscale.errors import FileError, SearchError

FORMAT, VERSION = "triscale-ledger", 1
LONGEST = 500  # letters of a failure that are kept


class Question(NamedTuple):
    """What a score was asked for: a candidate's key, the seed of its training, and how many steps that took."""

    key: str
    seed: int
    steps: int


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer.

    key, seed, steps: the question. name: the candidate's, for people; depth, width, resolution: its multipliers.
    score: on validation images, 0..1, larger is better; None where it failed, and `failure` says why.
    params, macs: of the candidate. seconds: that the score took. worker: who asked.
    beside: where the score is of test images, that of validation images after the same training.
    """

    key: str
    seed: int
    steps: int
    name: str
    depth: float
    width: float
    resolution: float
    score: float | None
    failure: str
    params: int
    macs: int
    seconds: float
    worker: str = ""
    beside: float | None = None

    @property
    def question(self) -> Question:
        """What was asked."""
        return Question(self.key, self.seed, self.steps)


class Ledger:
    """The answers of one search, in a file to which lines are only ever added.

    path: of the file; made where it is not there. subject: what decides the scores, by name (search, baseline, data,
    recipe, ...); a file that holds another subject's is refused.
    Several processes may add to one file: each line is written whole, under a lock of the kernel, and `refresh` reads
    what the others have added. A line that a crash has cut off is left out, and the next one begins after it.
    Raises: SearchError for a ledger of another subject; FileError for a file that is no ledger, or cannot be written.
    """

    def __init__(self, path: str | Path, subject: Mapping[str, str]) -> None:
        self.path, self.subject = Path(path), dict(subject)
        self._answers: dict[Question, Entry] = {}
        self._read = 0  # bytes of the file that are known
        self._begin()
        self.refresh()

    def __len__(self) -> int:
        return len(self._answers)

    def find(self, question: Question) -> Entry | None:
        """The answer, where there is one."""
        return self._answers.get(question)

    def entries(self) -> list[Entry]:
        """All answers, in the order in which they came."""
        return list(self._answers.values())

    def add(self, entry: Entry) -> None:
        """Write an answer down; it is on the disk when this returns.

        Raises: FileError where it cannot be written; what is there stays whole.
        """
        line = msgspec.json.encode(entry)
        try:
            with self._locked() as file:
                ended = self._ended(file)
                os.write(file, (b"" if ended else b"\n") + line + b"\n")
                os.fsync(file)
        except OSError as error:
            raise FileError(f"{self.path}: cannot be written: {error.strerror}; nothing in it is lost.") from None
        self.refresh()

    def refresh(self) -> None:
        """Read what was added since, by this process or others."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._read)
                data = file.read()
        except OSError as error:
            raise FileError(f"{self.path}: cannot be read: {error.strerror}.") from None
        whole = data[: data.rfind(b"\n") + 1]
        self._read += len(whole)
        for entry in _entries(whole):
            self._answers.setdefault(Question(entry.key, entry.seed, entry.steps), entry)

    def _begin(self) -> None:
        """Write the head of a new file, or hold that of an old one against the subject."""
        head = {"format": FORMAT, "version": VERSION, "subject": self.subject}
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self._locked() as file:
                first = _first_line(file)
                if not first:
                    os.ftruncate(file, 0)
                    os.write(file, json.dumps(head, ensure_ascii=False).encode() + b"\n")
                    os.fsync(file)
                    return
        except OSError as error:
            raise FileError(f"{self.path}: cannot be used as a ledger: {error.strerror}.") from None
        self._check(first)

    def _check(self, first: bytes) -> None:
        try:
            found = json.loads(first)
            known = found["format"] == FORMAT and isinstance(found["subject"], dict)
            version = found["version"]
        except (ValueError, KeyError, TypeError, RecursionError):
            known, version, found = False, None, {}
        if not known:
            raise FileError(f"{self.path}: is no ledger of a search; choose another folder.")
        if version != VERSION:
            raise FileError(f"{self.path}: is a ledger of version {version!r}, this triscale reads {VERSION}.")
        other = found["subject"]
        for name in (*self.subject, *other):
            if self.subject.get(name) != other.get(name):
                raise SearchError(
                    f"{self.path}: is the ledger of another search: {name} is {other.get(name)!r} there and "
                    f"{self.subject.get(name)!r} here; choose another --out, or ask for the same."
                )

    def _locked(self) -> _Locked:
        return _Locked(self.path)

    @staticmethod
    def _ended(file: int) -> bool:
        """Whether the last line is whole."""
        size = os.fstat(file).st_size
        return size == 0 or os.pread(file, 1, size - 1) == b"\n"


class _Locked:
    """The file, open for adding, and locked against other processes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> int:
        self.file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            fcntl.flock(self.file, fcntl.LOCK_EX)
        except OSError:
            os.close(self.file)
            raise
        return self.file

    def __exit__(self, *exception: object) -> None:
        os.close(self.file)


def _first_line(file: int) -> bytes:
    """Without its end; empty where even that was not written."""
    data = os.pread(file, 1 << 20, 0)
    end = data.find(b"\n")
    return data[:end] if end >= 0 else b""


def _entries(lines: bytes) -> list[Entry]:
    """The answers in some lines; the head, and what a crash has left, are none."""
    collected = gc.isenabled()
    gc.disable()  # a hundred thousand new objects, none of them garbage: looking for it takes half of the time
    try:
        head, _, rest = lines.partition(b"\n")
        return [*_entry(head), *_DECODER.decode_lines(rest)]
    except (msgspec.DecodeError, RecursionError):
        return [entry for line in lines.splitlines() for entry in _entry(line)]
    finally:
        if collected:
            gc.enable()


def _entry(line: bytes) -> list[Entry]:
    """The answer in a line, if it is one."""
    try:
        return [_DECODER.decode(line)]
    except (msgspec.DecodeError, RecursionError):
        return []


_DECODER = msgspec.json.Decoder(Entry)
