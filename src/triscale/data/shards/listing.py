"""Shards as the images that lie in them."""

from __future__ import annotations

import contextlib
import hashlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import msgspec

from triscale import atomic
from triscale.cache import cache_folder, key_of
from triscale.data.images import ImageError
from triscale.data.listing import EXPECTED, Entry, Facts, Listing
from triscale.data.member import ImagePlace, Member
from triscale.data.parallel import Progress
from triscale.data.shards import download
from triscale.data.shards.index import Index, LocalShard, from_bytes, look_into, to_bytes, trouble_of
from triscale.data.shards.manifest import ShardRecord, index_name
from triscale.data.shards.places import TABLES, Places, Source, find_shards
from triscale.data.shards.store import FetchedShard, Store, default_store
from triscale.data.shards.tables import table_to_tar
from triscale.errors import DataError, FileError

AT_ONCE = 8  # questions to a server


@dataclass(frozen=True, slots=True)
class _Known:
    """One shard, and what it holds; an index of None where it cannot be read at all."""

    source: Source
    shard: LocalShard | FetchedShard
    index: Index | None
    troubles: tuple[ImageError, ...] = ()


def list_shards(text: str, verify: bool = True, progress: Progress | None = None, check: bool = False) -> Listing:
    """The images of shards, with the facts that their indices remember.

    text: a folder, a tar file, a pattern of names, or URLs; see `find_shards`.
    verify: decode every image of shards that are not known yet; those that come from elsewhere and have a `shards.json`
        are known by their hash instead. progress: called with (shards looked into, all shards).
    check: compare what lies here with the hashes of `shards.json`.
    Raises: DataError where there is nothing to learn from, or a shard from elsewhere cannot be had.
    """
    places, store = find_shards(text), default_store()
    known = []
    prepared = _prepared(places, store)
    for number, (source, shard, record) in enumerate(prepared):
        known.append(_looked(source, shard, record, places, verify, check))
        if progress is not None:
            progress(number + 1, len(prepared))
    troubles = [trouble for each in known for trouble in each.troubles]
    entries, order = _entries(known, places)
    if not entries:
        first = f": {troubles[0]}" if troubles else f"; {EXPECTED}."
        raise DataError(f"{text}: no sample in {len(known)} shards{first}")
    strays = [Member(each.shard, 0, 0, name) for each in known if each.index for name in each.index.strays]
    return Listing(
        root=Path(text) if Path(text).is_dir() else text,
        entries=tuple(sorted(entries, key=lambda each: each.name)),
        strays=tuple(strays),
        troubles=tuple(troubles),
        class_order=order,
    )


Prepared = tuple[Source, LocalShard | FetchedShard, ShardRecord | None]


def _prepared(places: Places, store: Store) -> list[Prepared]:
    """Each shard with what brings it here, if anything must."""
    records = {each.name: each for each in places.manifest.shards} if places.manifest else {}

    def prepare(source: Source) -> Prepared:
        record = records.get(Path(source.place).name)
        if source.is_remote:
            return source, _remote(source, record, store), record
        path = Path(source.place)
        return source, (_table(path, store) if path.suffix.lower() in TABLES else LocalShard(path)), record

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(prepare, places.sources))


def _remote(source: Source, record: ShardRecord | None, store: Store) -> FetchedShard:
    url = source.place
    size, sha256 = (record.bytes, record.sha256) if record else (0, "")
    key = sha256 or key_of([url, download.announced_version(url)])

    def bring(place: Path) -> None:
        download.download(url, place, size, sha256, store.abandoned)

    return FetchedShard(url, key, store, bring, size)


def _table(path: Path, store: Store) -> FetchedShard | LocalShard:
    """A table becomes a tar file in the store, whose members can be found by offset."""
    try:
        status = path.stat()
    except OSError:
        return LocalShard(path)  # which is then found to be missing
    key = key_of([str(path.resolve()), status.st_size, status.st_mtime_ns])
    return FetchedShard(str(path), key, store, lambda place: table_to_tar(path, place), status.st_size)


def _looked(
    source: Source,
    shard: LocalShard | FetchedShard,
    record: ShardRecord | None,
    places: Places,
    verify: bool,
    check: bool,
) -> _Known:
    """The shard with its index: the remembered one, the packed one, or one made now."""
    place = Path(source.place)
    if isinstance(shard, LocalShard):
        lost = _missing(place, record)
        if lost is not None:
            return _Known(source, shard, None, (lost,))
    elif record is not None and not check:
        return _Known(source, shard, _packed_index(record, places))
    try:
        index = _remembered(shard, verify) or _made(shard, record, places, verify)
        differs = check and record is not None and isinstance(shard, LocalShard) and _sha256(place) != record.sha256
    except OSError as error:
        told = trouble_of(place, "unreadable", f"cannot be read ({error.strerror}).")
        return _Known(source, shard, None, (told,))
    trouble = index.trouble
    if trouble is None and record is not None and index.bytes != record.bytes:
        trouble = ("broken", f"has {index.bytes:,} bytes, shards.json says {record.bytes:,}; copy it again.")
    if trouble is None and differs:
        trouble = ("broken", "its content is not what shards.json says (SHA-256 differs); copy it again.")
    troubles = (trouble_of(_place(shard), *trouble),) if trouble else ()
    return _Known(source, shard, index, troubles)


def _missing(path: Path, record: ShardRecord | None) -> ImageError | None:
    if path.is_file():
        return None
    listed = "shards.json lists it, and it is" if record else "this shard is"
    return trouble_of(path, "missing", f"{listed} not there; copy it here, or pack the set again.")


def _place(shard: LocalShard | FetchedShard) -> Path | Member:
    """What messages name the shard by: a URL must not become a path."""
    return shard.path if isinstance(shard, LocalShard) else Member(shard, 0, 0, "the whole shard")


def _remembered(shard: LocalShard | FetchedShard, verify: bool) -> Index | None:
    """The index of an earlier look at this very file."""
    try:
        index = from_bytes(_index_place(shard).read_bytes(), "")
        if isinstance(shard, LocalShard):
            status = shard.path.stat()
            if (index.bytes, index.stamp) != (status.st_size, status.st_mtime_ns):
                return None
    except (OSError, DataError):  # whatever is wrong with it, it can be made again
        return None
    return index if index.verified or not verify else None


def _made(shard: LocalShard | FetchedShard, record: ShardRecord | None, places: Places, verify: bool) -> Index:
    path = shard.path if isinstance(shard, LocalShard) else shard.local()
    index = look_into(path, shard.name, verify)
    if record is not None:
        names = {row.member: row.name for row in _packed_index(record, places).rows}
        rows = [msgspec.structs.replace(row, name=names.get(row.member, "")) for row in index.rows]
        index = msgspec.structs.replace(index, rows=rows)
    with contextlib.suppress(FileError):  # it costs time on the next call, nothing else
        atomic.write_bytes(_index_place(shard), to_bytes(index))
    return index


def _index_place(shard: LocalShard | FetchedShard) -> Path:
    key = key_of(str(shard.path.resolve())) if isinstance(shard, LocalShard) else shard.key
    return cache_folder("shards") / "indices" / f"{key}.json"


def _packed_index(record: ShardRecord, places: Places) -> Index:
    """What `data pack` wrote beside the shard. Raises: DataError where it is missing or another one."""
    place = places.beside + index_name(record.name)
    kept = cache_folder("shards") / "indices" / f"{record.index}.json"
    if download.is_url(place):
        data = kept.read_bytes() if kept.exists() else download.read_text(place)
    else:
        try:
            data = Path(place).read_bytes()
        except OSError as error:
            raise DataError(
                f"{place}: cannot be read: {error.strerror}; copy it here, or pack the set again."
            ) from error
    if hashlib.sha256(data).hexdigest() != record.index:
        kept.unlink(missing_ok=True)
        raise DataError(f"{place}: is not the index that shards.json knows (SHA-256 differs); copy it again.")
    index = from_bytes(data, place)
    if download.is_url(place) and not kept.exists():
        with contextlib.suppress(FileError):
            atomic.write_bytes(kept, data)
    return index


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _entries(known: list[_Known], places: Places) -> tuple[list[Entry], tuple[str, ...]]:
    """The samples of all shards, and the classes in the set's own order, where it numbers them."""
    rows = [(each, row) for each in known if each.index for row in each.index.rows]
    classes, by_label = _classes({row.label for _, row in rows if row.label}, places)
    entries = []
    for each, row in rows:
        place = Member(each.shard, row.offset, row.length, row.member)
        label = by_label.get(row.label, "")
        trouble = trouble_of(place, row.fault, row.why) if row.fault else None
        if trouble is None and not label:
            trouble = _outside(place, row.label, classes)
        facts = Facts(row.length, bytes.fromhex(row.digest), trouble)
        entries.append(Entry(place, row.name or f"{each.source.name}/{row.member}", label, each.source.split, facts))
    return entries, classes


def _classes(labels: set[str], places: Places) -> tuple[tuple[str, ...], dict[str, str]]:
    """The classes in order, and which of them each label means: by number in `shards.json`, or by itself."""
    if places.manifest is not None:
        classes = places.manifest.classes
        numbered = {str(number): name for number, name in enumerate(classes)}
        return classes, {name: name for name in classes} | numbered
    if all(label.isascii() and label.isdigit() and len(label) < 10 for label in labels):
        return tuple(str(n) for n in sorted({int(label) for label in labels})), {
            each: str(int(each)) for each in labels
        }
    return tuple(sorted(labels)), {label: label for label in labels}


def _outside(place: ImagePlace, label: str, classes: tuple[str, ...]) -> ImageError:
    return trouble_of(
        place, "broken", f"its label {label[:40]!r} is none of the {len(classes)} classes, 0 to {len(classes) - 1}."
    )  # fmt: skip
