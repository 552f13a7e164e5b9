"""Images with labels, split into train, val and test, the same way every time."""

from __future__ import annotations

import collections
import hashlib
from dataclasses import dataclass
from pathlib import Path

from triscale.data.facts import look
from triscale.data.find import find_images
from triscale.data.images import ImageError
from triscale.data.listing import Entry, Facts, Listing
from triscale.data.member import ImagePlace
from triscale.data.parallel import Progress, map_files
from triscale.data.several import rarest_labels, require_trained
from triscale.errors import DataError


@dataclass(frozen=True, slots=True)
class Sample:
    """One image, a file or a member of a shard, and the number of its class in `Dataset.classes`.

    label: -1 in a set of several labels an image. labels: there, the numbers of all its classes, sorted; else empty.
    """

    path: ImagePlace
    label: int
    labels: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Dataset:
    """What is learnt from.

    root: the folder or CSV file, or what names the shards. classes: names, sorted unless the set itself numbers them; a
        sample's label is a position in it.
    train, val, test: samples, sorted by name; test (and val, where no share was wanted) may be empty.
    fingerprint: SHA-256 of every image's name, size in bytes, class and split: another set has another one.
    skipped: files that cannot be used and were left out. notes: what a person should know, one sentence each.
    several: whether an image may have several labels, or none: each class is then learnt as a question of its own.
    """

    root: Path | str
    classes: tuple[str, ...]
    train: tuple[Sample, ...]
    val: tuple[Sample, ...]
    test: tuple[Sample, ...]
    fingerprint: str
    skipped: tuple[ImagePlace, ...] = ()
    notes: tuple[str, ...] = ()
    several: bool = False

    @property
    def target_width(self) -> int:
        """Numbers in one image's target: one for each class with several labels an image; 0: the class's number."""
        return len(self.classes) if self.several else 0


def read_dataset(
    path: str | Path,
    val_share: float = 0.15,
    test_share: float = 0.0,
    seed: int = 0,
    verify: bool = True,
    skip_broken: bool = False,
    progress: Progress | None = None,
) -> Dataset:
    """Read an image folder, a CSV file or shards (see `list_images`, `list_shards`).

    val_share, test_share: of the images that are in no split, or in train, how many become val and test where the set
        has no such split. Which ones is decided by their content and `seed`: adding images moves no other one (but the
        last of its class), copies stay together, and every class has an image in each split that it has enough
        different images for.
    verify: decode every image once, so that a broken one is met now and not in the middle of training.
    skip_broken: go on without images that cannot be used.
    progress: called with (images looked at, all images).
    Raises: DataError for a set that cannot be learnt from, naming the files.
    """
    require_shares(val_share, test_share)
    listing, usable, troubles = read_entries(path, verify, skip_broken, progress)
    split, notes = split_of(usable, val_share, test_share, seed, listing.several)
    if listing.several:
        require_trained(listing, split)
    classes = listing.classes
    samples = {name: tuple(_samples(listing, usable, split, name, classes)) for name in ("train", "val", "test")}
    return Dataset(
        root=listing.root,
        classes=classes,
        **samples,
        fingerprint=fingerprint_of(usable, split),
        skipped=tuple(each.path for each in troubles),
        notes=(*_listing_notes(listing, troubles), *notes),
        several=listing.several,
    )


def require_shares(val_share: float, test_share: float) -> None:
    """Raises: DataError for shares that leave nothing to train on."""
    if not (0 <= val_share < 1 and 0 <= test_share < 1 and val_share + test_share < 1):
        raise DataError(
            f"val_share {val_share} and test_share {test_share} must be in 0..1 and leave something to train on."
        )


def read_entries(
    path: str | Path, verify: bool = True, skip_broken: bool = False, progress: Progress | None = None
) -> tuple[Listing, list[tuple[Entry, Facts]], list[ImageError]]:
    """What `read_dataset` splits: all that was found, what of it can be used, and the trouble with the rest.

    Raises: DataError for a set that cannot be learnt from, naming the files.
    """
    listing = find_images(path, verify, progress)
    _require_sound(listing)
    facts = _facts(listing.entries, verify, progress)
    usable = [(entry, fact) for entry, fact in zip(listing.entries, facts, strict=True) if fact.trouble is None]
    troubles = [*listing.troubles, *(fact.trouble for fact in facts if fact.trouble is not None)]
    if troubles and not skip_broken:
        raise _refusal(listing, troubles)
    _require_classes_left(listing, usable)
    return listing, usable, troubles


def _facts(entries: tuple[Entry, ...], verify: bool, progress: Progress | None) -> list[Facts]:
    known = [entry.facts for entry in entries if entry.facts is not None]
    if len(known) == len(entries):
        return known
    return map_files(lambda entry: entry.facts or look(entry.path, verify), entries, progress)


def _require_sound(listing: Listing) -> None:
    if listing.empty_classes:
        names = ", ".join(str(each) for each in listing.empty_classes[:5])
        raise DataError(f"{names}: a class folder with no images; put some into it, or remove it.")
    if listing.contradictions:
        path, said = listing.contradictions[0]
        raise DataError(f"{listing.root}: {path.name} has two labels: {said}; keep the row that is right.")
    if len(listing.classes) < 2:
        raise DataError(f"{listing.root}: only one class ({listing.classes[0]}); a classifier needs at least two.")
    learnt = (each for each in listing.entries if each.split in (None, "train"))
    known = {label for each in learnt for label in listing.labels_of(each)}
    unknown = sorted({label for each in listing.entries for label in listing.labels_of(each) if label} - known)
    if unknown:
        raise DataError(
            f"{listing.root}: val or test has classes that train has not: {', '.join(unknown[:5])}; add them to train."
        )


def _refusal(listing: Listing, troubles: list[ImageError]) -> DataError:
    shown = "; ".join(str(each).rstrip(".") for each in troubles[:5])
    more = f"; and {len(troubles) - 5} more (triscale data check names them all)" if len(troubles) > 5 else ""
    lost, broken = len(listing.troubles), len(troubles) - len(listing.troubles)
    count = f"{broken} of {len(listing.entries)} images cannot be used" if broken or not lost else ""
    count = " and ".join(each for each in (f"{lost} shards cannot be read whole" if lost else "", count) if each)
    return DataError(f"{listing.root}: {count}: {shown}{more}. To go on without them: --skip-broken.")


def _require_classes_left(listing: Listing, usable: list[tuple[Entry, Facts]]) -> None:
    learnt = (entry for entry, _ in usable if entry.split in (None, "train"))
    left = {label for entry in learnt for label in listing.labels_of(entry)}
    lost = [name for name in listing.classes if name not in left]
    if lost:
        raise DataError(
            f"{listing.root}: no usable training image is left in {', '.join(lost[:5])}; replace the broken ones."
        )


def split_of(
    usable: list[tuple[Entry, Facts]], val_share: float, test_share: float, seed: int, several: bool = False
) -> tuple[dict[str, str], list[str]]:
    """The split of each entry by its name, and what is to be said about it."""
    given = {entry.split for entry, _ in usable}
    val_share = 0.0 if "val" in given else val_share
    test_share = 0.0 if "test" in given else test_share
    split = {entry.name: entry.split for entry, _ in usable if entry.split in ("val", "test")}
    by_class: dict[str, dict[float, list[str]]] = collections.defaultdict(lambda: collections.defaultdict(list))
    groups = rarest_labels([entry for entry, _ in usable if entry.name not in split]) if several else {}
    for entry, fact in usable:
        if entry.name not in split:
            by_class[groups.get(entry.label, entry.label)][_place(fact.digest, seed)].append(entry.name)
    without = []
    for label, places in by_class.items():
        chosen = _split_class(sorted(places), val_share, test_share)
        without += [label] if val_share and "val" not in chosen.values() else []
        split |= {name: chosen[place] for place, names in places.items() for name in names}
    notes = [f"No validation image in {', '.join(without[:5])}: too few different images."] if without else []
    for share, name in ((val_share, "validation"), (test_share, "test")):
        notes += (
            [f"No {name} split was given: {share:.0%} of the images were set aside by their content."] if share else []
        )
    return {name: each for name, each in split.items() if each}, notes


def _place(digest: bytes, seed: int) -> float:
    """Where in 0..1 a content falls."""
    number = hashlib.blake2b(digest, digest_size=8, salt=b"%d" % (seed % 10**15)).digest()
    return int.from_bytes(number) / 2**64


def _split_class(places: list[float], val_share: float, test_share: float) -> dict[float, str]:
    """The split of each place of one class, sorted; a split that stayed empty takes the nearest where it can."""
    chosen = {
        place: "val" if place < val_share else "test" if place < val_share + test_share else "train" for place in places
    }
    wanted = [name for name, share in (("train", 1.0), ("val", val_share), ("test", test_share)) if share > 0]
    for name in wanted[: len(places)]:
        counts = collections.Counter(chosen.values())
        if counts[name] == 0:
            richest = max(counts, key=lambda each: (counts[each], each == "test"))
            from_place = [place for place in places if chosen[place] == richest]
            chosen[from_place[-1] if name == "train" else from_place[0]] = name
    return chosen


def _samples(
    listing: Listing, usable: list[tuple[Entry, Facts]], split: dict[str, str], name: str, classes: tuple[str, ...]
) -> list[Sample]:
    numbers = {label: number for number, label in enumerate(classes)}
    chosen = [entry for entry, _ in usable if split[entry.name] == name]
    if not listing.several:
        return [Sample(entry.path, numbers[entry.label]) for entry in chosen]
    return [Sample(entry.path, -1, tuple(numbers[label] for label in listing.labels_of(entry))) for entry in chosen]


def fingerprint_of(usable: list[tuple[Entry, Facts]], split: dict[str, str]) -> str:
    """See `Dataset.fingerprint`."""
    digest = hashlib.sha256()
    for entry, fact in usable:
        line = "\0".join((split[entry.name], entry.label, entry.name, str(fact.size)))
        digest.update(line.encode("utf-8", "surrogateescape") + b"\n")
    return digest.hexdigest()


def _listing_notes(listing: Listing, troubles: list[ImageError]) -> list[str]:
    notes = []
    if listing.strays:
        names = ", ".join(each.name for each in listing.strays[:3])
        notes.append(f"{len(listing.strays)} files are no images of a class and were left out: {names}.")
    if troubles:
        names = ", ".join(str(each.path) for each in troubles[:5])
        kinds = "images and shards" if listing.troubles else "images"
        notes.append(f"{len(troubles)} {kinds} that cannot be used were skipped: {names}.")
    return notes
