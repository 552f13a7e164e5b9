"""A run is one folder: what was asked for, what was chosen, what came of it; used by one process at a time."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

import msgspec

from triscale import atomic
from triscale.errors import FileError, RunError
from triscale.training.config import differences, to_table, write_config
from triscale.training.lock import release_lock, take_lock

State = Literal["running", "interrupted", "failed", "done"]
VERSION = 1
SHOWN_DIFFERENCES = 4
ASKED = ("config.toml", "network.json")  # what follows from a command's arguments before anything is done
# What may change between two parts of a run, and what it does to the result.
_COMPARED = dict.fromkeys(("torch", "threads", "machine"), "in the last digits")
_COMPARED["processes"] = "(sums are taken in another order, and dropout draws other numbers)"


@dataclass(frozen=True, slots=True)
class RunRecord:
    """What `run.json` says.

    command, arguments: what was asked for; the same again resumes, others are refused.
    config_hash: SHA-256 of the arguments; data: fingerprint of the data set.
    network: the network that was chosen, as plain values; once written it is never chosen again.
    shipped: name of the file in the folder that is to be used.
    error: why the state is "failed".
    """

    command: str
    arguments: dict[str, Any]
    config_hash: str
    data: str
    environment: dict[str, Any]
    created: str
    updated: str
    state: State = "running"
    network: dict[str, Any] | None = None
    shipped: str | None = None
    error: str = ""
    format_version: int = VERSION


@dataclass(slots=True)
class RunFolder:
    """A run folder that this process holds; make it with `RunFolder.open`, use it in a `with` block.

    notes: what a person should know on resuming (another torch, another number of threads).
    writes: False in a process that trains along with the one that holds the folder: it leaves the files to that one.
    """

    path: Path
    record: RunRecord
    notes: tuple[str, ...] = ()
    writes: bool = True
    _lock: int = field(default=-1, repr=False)

    @classmethod
    def open(cls, path: str | Path, command: str, arguments: Mapping[str, object], data: str = "") -> Self:
        """Make a run folder, or take up the one that is there; `run.json` is written before anything else.

        arguments: all that decides the result and that a person gave; plain values, dataclasses or paths.
        data: fingerprint of the data set.
        A run that stopped before it had made anything (an impossible budget, a misspelt part to freeze) is begun anew,
        with any arguments.
        Raises: RunError when another process uses it, it belongs to other arguments or data, or is no run folder.
        """
        path = Path(path)
        lock = take_lock(path)
        try:
            _remove_unfinished(path)
            wanted = to_table(arguments)
            if (path / "run.json").exists() and not _came_to_nothing(path):
                run = cls(path, read_run(path), _lock=lock)
                run._check_same(command, wanted, data)
                run._resume()
            else:
                if not (path / "run.json").exists():
                    _check_empty(path)
                for name in ASKED:
                    (path / name).unlink(missing_ok=True)
                now, hashed = _now(), _hash(wanted)
                run = cls(path, RunRecord(command, wanted, hashed, data, environment(), now, now), _lock=lock)
                run.update()
        except BaseException:
            release_lock(lock)
            raise
        return run

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Record how it ended, unless it was already recorded, and let go of the folder."""
        try:
            if isinstance(error, KeyboardInterrupt):
                self.update(state="interrupted")
            elif error is not None and self.record.state == "running":
                self.update(state="failed", error=str(error).splitlines()[0] if str(error) else type(error).__name__)
        except FileError:
            if error is None:
                raise
            # A full disk is told by the error that is on its way; the record keeps its last state, which resumes.
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the folder, so that another process may take it."""
        if self._lock >= 0:
            release_lock(self._lock)
            self._lock = -1

    @property
    def is_done(self) -> bool:
        """Whether everything that the command promised is in the folder."""
        return self.record.state == "done"

    def update(
        self,
        state: State | None = None,
        network: Mapping[str, object] | None = None,
        shipped: str | None = None,
        error: str = "",
    ) -> None:
        """Change what `run.json` says and write it, atomically; None leaves a value as it is."""
        record = self.record
        if network is not None and record.network is not None and to_table(network) != to_table(record.network):
            raise RunError(f"{self.path}: its network is already chosen; another network needs another folder.")
        self.record = replace(
            record,
            state=state or record.state,
            network=record.network if network is None else dict(network),
            shipped=shipped or record.shipped,
            error=error,
            updated=_now(),
        )
        self.write_json("run.json", self.record)

    def write_json(self, name: str, value: object) -> None:
        """Write a file of the folder as indented JSON, atomically."""
        if not self.writes:
            return
        atomic.write_bytes(
            self.path / name, msgspec.json.format(msgspec.json.encode(value, enc_hook=str), indent=1) + b"\n"
        )

    def write_config(self, table: Mapping[str, object]) -> None:
        """Write `config.toml`: all that was decided, readable back."""
        if self.writes:
            write_config(self.path / "config.toml", table)

    def log(self, event: str, fields: Mapping[str, object]) -> None:
        """Append one line to `log.jsonl`. Raises: FileError when the disk is full; earlier lines are untouched."""
        if not self.writes:
            return
        path = self.path / "log.jsonl"
        line = msgspec.json.encode({"event": event, "time": round(time.time(), 3), **fields}, enc_hook=str) + b"\n"
        try:
            with path.open("a+b") as file:
                if file.tell() > 0:
                    file.seek(-1, os.SEEK_END)
                    if file.read(1) != b"\n":
                        line = b"\n" + line  # the line before was torn by a crash; it stays, unread
                file.write(line)
        except OSError as error:
            raise FileError(
                f"{path}: cannot be written: {error.strerror}; free some space and run the same command again."
            ) from error

    def _check_same(self, command: str, arguments: dict[str, Any], data: str) -> None:
        changed = differences(
            {"command": self.record.command, **self.record.arguments}, {"command": command, **arguments}
        )
        if data != self.record.data:
            before, now = self.record.data[:12] or "none", data[:12] or "none"
            changed.append(f"the data had fingerprint {before}, has now {now}")
        if changed:
            shown = "; ".join(changed[:SHOWN_DIFFERENCES])
            more = f"; and {len(changed) - SHOWN_DIFFERENCES} more" if len(changed) > SHOWN_DIFFERENCES else ""
            raise RunError(
                f"{self.path}: is a run of other arguments: {shown}{more}; "
                f"give the same arguments to resume it, or another folder."
            )

    def _resume(self) -> None:
        if self.is_done:
            return
        before, now = self.record.environment, environment()
        self.notes = tuple(
            f"{key} was {before.get(key)} when this run began and is {now[key]} now: "
            f"the result may differ {how} from an undisturbed run"
            for key, how in _COMPARED.items()
            if None not in (before.get(key), now[key]) and before.get(key) != now[key]
        )
        self.update(state="running")


def read_run(path: str | Path) -> RunRecord:
    """Read the `run.json` of a run folder, also of one that another process is using.

    Raises: RunError when it is missing, damaged, or of a newer format.
    """
    place = Path(path) / "run.json"
    try:
        document = json.loads(place.read_text(encoding="utf-8"))
        version = document.get("format_version") if isinstance(document, dict) else None
        if isinstance(version, int) and version > VERSION:
            raise RunError(f"{place}: is of format {version}, this triscale reads {VERSION}; use the newer one.")
        return msgspec.convert(document, RunRecord, strict=True)
    except FileNotFoundError:
        raise RunError(
            f"{path}: is no run folder (it has no run.json); give the --out of an earlier command."
        ) from None
    except OSError as error:
        raise RunError(f"{place}: cannot be read: {error.strerror}.") from None
    except ValueError as error:
        raise RunError(f"{place}: is damaged ({error}); choose another folder.") from None


def read_log(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a run's `log.jsonl`, without torn ones and without what a resumed run did once more.

    Steps that were lost in a crash are done again after a line of event "resumed"; only the later lines count.
    """
    place = Path(path) / "log.jsonl"
    lines: list[dict[str, Any]] = []
    for raw in place.read_bytes().splitlines() if place.exists() else []:
        try:
            line = json.loads(raw)
        except ValueError:
            continue  # torn by a crash
        if line.get("event") == "resumed":
            lines = [each for each in lines if not _done_again(each, line)]
        lines.append(line)
    return lines


def _done_again(line: dict[str, Any], resumed: dict[str, Any]) -> bool:
    if line["event"] == "epoch":
        return line.get("epoch", 0) > resumed.get("epochs", 0)
    return line.get("step", 0) > resumed.get("step", 0)


def environment() -> dict[str, Any]:
    """What a run was made with: versions, platform, threads. Does not import torch."""
    torch = sys.modules.get("torch")
    return {
        "python": platform.python_version(),
        "torch": _version("torch"),
        "triscale": _version("triscale"),
        "numpy": _version("numpy"),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads() if torch else None,
        "processes": int(os.environ.get("WORLD_SIZE") or 1),
    }


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "unknown"


def _came_to_nothing(path: Path) -> bool:
    """Whether a run has stopped, by an error or Ctrl-C, before it chose, trained or logged anything."""
    made = {each.name for each in path.iterdir() if not each.name.startswith(".")}
    record = read_run(path)
    return made <= {"run.json", *ASKED} and record.network is None and record.state in ("failed", "interrupted")


def _check_empty(path: Path) -> None:
    others = sorted(each.name for each in path.iterdir() if not each.name.startswith("."))
    if others:
        raise RunError(f"{path}: is not empty and no run folder (it holds {others[0]}); choose another --out.")


def _remove_unfinished(path: Path) -> None:
    """Remove what a killed process left half written; nobody else writes here while we hold the lock."""
    for part in [*path.glob(".*.part"), *path.glob("*/.*.part")]:
        if part.is_dir():
            shutil.rmtree(part, ignore_errors=True)
        else:
            part.unlink(missing_ok=True)


def _hash(table: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(table, sort_keys=True).encode()).hexdigest()


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S%z")
