"""A data set into shards: few large files that disks and networks read at full speed, each a mix of all classes."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import time
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import msgspec
import numpy as np

from triscale import atomic
from triscale.data.dataset import fingerprint_of, read_entries, require_shares, split_of
from triscale.data.listing import Entry, Facts
from triscale.data.parallel import Progress
from triscale.data.shards import index, manifest
from triscale.data.shards.manifest import Manifest, ShardRecord, index_name
from triscale.data.shards.write import Packed, tar_size, write_tar
from triscale.errors import DataError, FileError

SHARD_BYTES = 256_000_000
LEAST_SHARD_BYTES = 10_000
_JOURNAL = ".pack.jsonl"


@dataclass(frozen=True, slots=True)
class PackReport:
    """What was written. samples, bytes: of all shards. skipped: images that were left out, as messages name them."""

    folder: Path
    shards: tuple[ShardRecord, ...]
    classes: tuple[str, ...]
    skipped: tuple[str, ...]
    notes: tuple[str, ...]
    seconds: float

    @property
    def samples(self) -> int:
        """In all shards."""
        return sum(each.samples for each in self.shards)

    @property
    def bytes(self) -> int:
        """Of all shards."""
        return sum(each.bytes for each in self.shards)


@dataclass(frozen=True, slots=True)
class _Item:
    """One image on its way into a shard."""

    entry: Entry
    facts: Facts
    key: str
    label: int


@dataclass(frozen=True, slots=True)
class _Shard:
    """What a shard will hold."""

    name: str
    split: str
    items: tuple[_Item, ...]


def pack(
    data: str | Path,
    out: str | Path,
    shard_bytes: int = SHARD_BYTES,
    seed: int = 0,
    val_share: float = 0.0,
    test_share: float = 0.0,
    skip_broken: bool = False,
    looking: Progress | None = None,
    writing: Progress | None = None,
) -> PackReport:
    """Write the images of a set, bytes as they are, into `train-000000.tar`, …, and `shards.json` beside them.

    Every image is decoded once. The same arguments give the same bytes; a call that was stopped is gone on with.

    out: a folder that is empty, or holds what an earlier call with these arguments wrote.
    shard_bytes: of a shard, about. seed: of the mix.
    val_share, test_share: set aside as `read_dataset` does; 0 leaves the set's own splits, or all in train.
    skip_broken: leave out images that cannot be used. looking, writing: called with (images done, all images).
    Raises: DataError for a set that cannot be learnt from, and where `out` holds something else; FileError where it
        cannot be written.
    """
    start, out = time.perf_counter(), Path(out)
    if shard_bytes < LEAST_SHARD_BYTES:
        raise DataError(f"shards of {shard_bytes:,} bytes are too small; give at least {LEAST_SHARD_BYTES:,}.")
    if Path(data).is_dir() and out.resolve().is_relative_to(Path(data).resolve()):
        raise DataError(
            f"{out}: lies inside of the images, where it would be taken for a class; choose another folder."
        )
    require_shares(val_share, test_share)
    listing, usable, troubles = read_entries(data, True, skip_broken, looking)
    if listing.several:
        raise DataError(f"{data}: has several labels an image, and a shard holds one class number; train from the CSV.")
    split, notes = split_of(usable, val_share, test_share, seed)
    shards = _planned(usable, split, listing.classes, shard_bytes, seed)
    plan = _plan_hash(fingerprint_of(usable, split), shards, listing.classes)
    with _held(out, plan) as done:
        records = _written(shards, out, done, writing)
        atomic.write_bytes(out / manifest.NAME, manifest.to_bytes(Manifest(listing.classes, records, plan)))
    skipped = tuple(str(each.path) for each in troubles)
    return PackReport(out, records, listing.classes, skipped, tuple(notes), time.perf_counter() - start)


def _planned(
    usable: list[tuple[Entry, Facts]], split: dict[str, str], classes: tuple[str, ...], shard_bytes: int, seed: int
) -> list[_Shard]:
    """Which image goes where: each split shuffled, and cut where a shard is full."""
    numbers = {name: number for number, name in enumerate(classes)}
    keys = _keys([entry.name for entry, _ in usable])
    items = [_Item(entry, facts, key, numbers[entry.label]) for (entry, facts), key in zip(usable, keys, strict=True)]
    shards = []
    for place, name in enumerate(("train", "val", "test")):
        inside = [each for each in items if split[each.entry.name] == name]
        order = np.random.default_rng([seed % 2**64, place]).permutation(len(inside))
        parts = _cut([inside[i] for i in order], shard_bytes)
        shards += [_Shard(f"{name}-{number:06d}.tar", name, tuple(part)) for number, part in enumerate(parts)]
    return shards


def _cut(items: list[_Item], shard_bytes: int) -> Iterator[list[_Item]]:
    part: list[_Item] = []
    taken = 0
    for item in items:
        size = tar_size(item.facts.size, item.key, str(item.label))
        if part and taken + size > shard_bytes:
            yield part
            part, taken = [], 0
        part.append(item)
        taken += size
    if part:
        yield part


def _keys(names: list[str]) -> list[str]:
    """Names without suffix and without what a tar, a shell or WebDataset would understand otherwise; no two alike."""
    taken, keys = set[str](), []
    for name in names:
        path = PurePosixPath(name)
        stem = path.name.removesuffix(path.suffix)
        parts = [re.sub(r"[^\w-]+", "_", part) for part in (*path.parts[:-1], stem) if part not in ("/", "..")]
        key = first = "/".join(part or "_" for part in parts)
        count = 1
        while key in taken:
            count += 1
            key = f"{first}-{count}"
        taken.add(key)
        keys.append(key)
    return keys


def _plan_hash(fingerprint: str, shards: list[_Shard], classes: tuple[str, ...]) -> str:
    """Of all that decides the bytes that are written."""
    digest = hashlib.sha256(f"{manifest.VERSION} {index.VERSION} {fingerprint} {classes}".encode("utf-8", "replace"))
    for shard in shards:
        for item in shard.items:
            digest.update(f"{shard.name}\0{item.key}\0{item.label}\0".encode("utf-8", "replace") + item.facts.digest)
    return digest.hexdigest()


@contextlib.contextmanager
def _held(out: Path, plan: str) -> Generator[dict[str, ShardRecord]]:
    """The folder, for this process and this plan alone. Yields the shards that an earlier call finished, by name."""
    journal = out / _JOURNAL
    try:
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / ".pack.lock").open("w")
    except OSError as error:
        raise FileError(f"{out}: cannot be written: {error.strerror}; choose another folder.") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise DataError(f"{out}: another process packs into it; wait for it, or choose another folder.") from error
        done = _finished(out, journal, plan)
        for left in out.glob(".*.part"):  # of a process that was killed
            left.unlink(missing_ok=True)
        yield done
        journal.unlink(missing_ok=True)
        (out / ".pack.lock").unlink(missing_ok=True)


def _finished(out: Path, journal: Path, plan: str) -> dict[str, ShardRecord]:
    """What an earlier call wrote. Raises: DataError where it was another call, or something else lies there."""
    place = out / manifest.NAME
    if place.exists():
        found = manifest.from_bytes(place.read_bytes(), str(place))
        records, known = found.shards, found.plan
    elif journal.exists():
        lines = journal.read_bytes().splitlines()
        known = lines[0].decode(errors="replace") if lines else plan
        records = tuple(_records(lines[1:]))
    else:
        others = sorted(each.name for each in out.iterdir() if not each.name.startswith("."))
        if others:
            raise DataError(f"{out}: is not empty (it holds {others[0]}); choose another folder.")
        records, known = (), plan
    if known != plan:
        raise DataError(f"{out}: holds shards of other images or arguments; choose another folder, or remove them.")
    if not journal.exists():
        atomic.write_text(journal, plan + "\n")
    return {
        each.name: each
        for each in records
        if (out / each.name).is_file()
        and (out / each.name).stat().st_size == each.bytes
        and (out / index_name(each.name)).is_file()
    }


def _records(lines: Iterable[bytes]) -> Iterator[ShardRecord]:
    for line in lines:
        with contextlib.suppress(msgspec.MsgspecError):  # the last line, torn by a crash
            yield msgspec.json.decode(line, type=ShardRecord)


def _written(
    shards: list[_Shard], out: Path, done: dict[str, ShardRecord], progress: Progress | None
) -> tuple[ShardRecord, ...]:
    total = sum(len(shard.items) for shard in shards)
    records, count = [], 0
    for shard in shards:
        record = done.get(shard.name)
        if record is None:
            record = _write(shard, out, count, total, progress)
            with (out / _JOURNAL).open("ab") as journal:
                journal.write(msgspec.json.encode(record) + b"\n")
        records.append(record)
        count += len(shard.items)
        if progress is not None:
            progress(count, total)
    return tuple(records)


def _write(shard: _Shard, out: Path, before: int, total: int, progress: Progress | None) -> ShardRecord:
    """One shard and its index; the tar is read again, so that the index says what is there."""

    def samples() -> Iterator[Packed]:
        for number, item in enumerate(shard.items):
            if progress is not None and number % 64 == 0:
                progress(before + number, total)
            yield Packed(item.key, item.entry.path.suffix.lower(), _bytes_of(item), str(item.label))

    place = out / shard.name
    with atomic.replacing(place) as temporary:
        write_tar(temporary, samples())
        with temporary.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    found = index.look_into(place, str(place), verify=False)
    rows = [
        msgspec.structs.replace(row, name=item.entry.name) for row, item in zip(found.rows, shard.items, strict=True)
    ]
    written = index.to_bytes(msgspec.structs.replace(found, rows=rows, stamp=0, verified=True))
    atomic.write_bytes(out / index_name(shard.name), written)
    index_sha256 = hashlib.sha256(written).hexdigest()
    return ShardRecord(shard.name, shard.split, found.bytes, sha256, len(rows), index_sha256)


def _bytes_of(item: _Item) -> bytes:
    data = item.entry.path.read_bytes()
    if len(data) != item.facts.size:
        raise DataError(f"{item.entry.path}: changed while it was packed; run the same command again.")
    return data
