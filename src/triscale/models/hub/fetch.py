"""From `hf://OWNER/REPO` to files on this machine: once over the network, then from the Hub client's own cache."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

from triscale.errors import HubError
from triscale.models.hub.client import UnreachableError, bars_for_people, client, in_one_line, make_api
from triscale.models.hub.place import Place, parse_place
from triscale.spec.card import ModelCard

CONFIG, README = "config.json", "README.md"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # the first that a repository has
READABLE = (".safetensors", ".bin", ".pth", ".pt")
LARGEST_TEXT = 16 * 2**20  # bytes of a config.json or README.md
PATIENCE = 10.0  # seconds for an answer before the cache is asked
SHA256_DIGITS = 64
_COMMIT = re.compile("[0-9a-f]{40}")


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file of a repository, on this machine; config.json lies beside it where the repository has one.

    place: the repository at the commit that the file is of. path: in the cache, and found to have the hash that the Hub
    states. licence: as the model card of the repository has it; empty without.
    """

    place: Place
    path: Path
    licence: str

    def card(self, card: ModelCard, sha256: str) -> ModelCard:
        """The card of a model whose weights are this file, of that SHA-256: whence, and under which licence."""
        known = "" if card.origin in ("", self.path.name) else f" ({card.origin})"
        return replace(card, origin=f"{self.place}{known}", licence=self.licence or card.licence, sha256=sha256)


class _Entry(NamedTuple):
    """What the Hub says of one file: bytes; and its SHA-256, or its name as a git object."""

    size: int | None
    digest: str


def fetch_weights(source: str) -> Fetched:
    """The weights of a repository, with its config.json and model card beside them.

    source: `hf://OWNER/REPO[@REVISION][/FILE]`. Without FILE it is model.safetensors, else pytorch_model.bin.
    Raises: HubError saying in one line what is not there, who may not read it, what differs from what the Hub states,
        or without a network which file to put where; MissingExtraError without huggingface_hub.
    """
    place = parse_place(source)
    if place.file and not place.file.endswith(READABLE):
        raise HubError(f"{place}: is no file of weights; expected one that ends in {', '.join(READABLE)}.")
    return _fetch(place, (place.file,) if place.file else WEIGHTS, (CONFIG, README))


def fetch_config(source: str) -> Fetched:
    """The config.json of a repository, which says what network it holds; its weights stay where they are.

    Raises: as `fetch_weights`.
    """
    place = parse_place(source)
    return _fetch(place, (_beside(place.file or "", CONFIG),), ())


def _fetch(place: Place, names: tuple[str, ...], beside: tuple[str, ...]) -> Fetched:
    """The first of `names` that is there, with what is there of `beside`."""
    client()
    if (
        place.revision
        and _COMMIT.fullmatch(place.revision)
        and _cached(place, _beside(names[0], CONFIG), place.revision)
    ):
        cached = _from_cache(place, names)  # what a commit holds can never change
        if cached is not None:
            return cached
    try:
        commit, entries = _listing(place)
    except UnreachableError as error:
        cached = _from_cache(place, names)
        if cached is None:
            raise UnreachableError(_what_to_put_where(place, str(error))) from None
        return cached
    name = _first_of(place, names, entries)
    for other in (_beside(name, each) for each in beside):
        if other in entries:
            _download(place, commit, other, entries[other], LARGEST_TEXT)
    path = _download(place, commit, name, entries[name], _largest(name))
    return _fetched(place, commit, path)


def _beside(file: str, name: str) -> str:
    """The path of `name` in the folder of `file`."""
    folder = file.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


def _largest(name: str) -> int:
    if name.endswith(CONFIG):
        return LARGEST_TEXT
    from triscale.models.tensors import LARGEST_FILE  # here, because it comes with torch

    return LARGEST_FILE


def _listing(place: Place) -> tuple[str, Mapping[str, _Entry]]:
    """(commit, what the Hub says of each file in it)."""
    with in_one_line(place, "read"):
        found = make_api().model_info(
            place.repository, revision=place.revision, timeout=PATIENCE, files_metadata=True
        )  # fmt: skip
        if not found.sha or not _COMMIT.fullmatch(found.sha):
            raise ValueError(f"its answer names no commit ({found.sha!r})")
    entries = {
        each.rfilename: _Entry(each.size, each.lfs.sha256 if each.lfs else each.blob_id or "")
        for each in found.siblings or ()
    }
    return found.sha, entries


def _first_of(place: Place, names: tuple[str, ...], entries: Mapping[str, _Entry]) -> str:
    for name in names:
        if name in entries:
            return name
    others = [each for each in entries if each.endswith(READABLE)] or list(entries)
    shown = f"it has {', '.join(others[:4])}{', …' if len(others) > 4 else ''}" if others else "it is empty"
    hint = f"; give one as hf://{place.repository}/FILE" if others and others[0].endswith(READABLE) else ""
    raise HubError(f"{place}: has no {' and no '.join(names)}; {shown}{hint}.")


def _download(place: Place, commit: str, name: str, entry: _Entry, largest: int) -> Path:
    """One file of that commit, from the cache or over the network, and checked against what the Hub states of it."""
    if entry.size is None or entry.size > largest:
        size = "an unknown number of" if entry.size is None else f"{entry.size:,}"
        raise HubError(f"{place}: {name} has {size} bytes, more than the {largest:,} that it may have.")
    path = _cached(place, name, commit)
    if path is None:
        try:
            with in_one_line(place, "read"), bars_for_people():
                # By the branch, so that the cache remembers where the branch was.
                path = Path(make_api().hf_hub_download(place.repository, name, revision=place.revision))
        except UnreachableError as error:
            raise HubError(f"{place}: the download of {name} broke off ({error}); run the same again.") from None
        if _commit_of(path, name) != commit:
            raise HubError(f"{place}: has changed while it was read; run the same again.")
    _check(place, name, path, entry.digest)
    return path


def _check(place: Place, name: str, path: Path, stated: str) -> None:
    """Compare a file with what the Hub states of it: its SHA-256, or for small files their hash as git objects.

    One that differs is taken out of the cache, so that it is fetched anew.
    """
    kind, found = {SHA256_DIGITS: ("SHA-256", _sha256), 40: ("git hash", _git_hash)}.get(len(stated), ("", None))
    if found is None or (digest := found(path)) == stated:
        return
    path.resolve().unlink(missing_ok=True)
    path.unlink(missing_ok=True)
    raise HubError(
        f"{place}: {name} has {kind} {digest}, but the Hub states {stated}; the damaged copy was removed, run the same "
        f"again."
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _git_hash(path: Path) -> str:
    data = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def _cached(place: Place, name: str, revision: str | None) -> Path | None:
    path = client().try_to_load_from_cache(place.repository, name, revision=revision)
    return Path(path) if isinstance(path, str) else None


def _from_cache(place: Place, names: tuple[str, ...]) -> Fetched | None:
    """What an earlier command has brought; None without."""
    for name in names:
        path = _cached(place, name, place.revision)
        if path is not None:
            stated = path.resolve().name  # the cache keeps a large file under the SHA-256 that the Hub stated
            if len(stated) == SHA256_DIGITS:
                _check(place, name, path, stated)
            return _fetched(place, _commit_of(path, name), path)
    return None


def _commit_of(path: Path, name: str) -> str:
    """The cache keeps a file as snapshots/COMMIT/NAME."""
    return path.parents[name.count("/")].name


def _fetched(place: Place, commit: str, path: Path) -> Fetched:
    return Fetched(place.at(commit), path, _licence(_cached(place, README, commit)))


def _licence(readme: Path | None) -> str:
    """What the model card's header says; a card that cannot be read says nothing."""
    if readme is None:
        return ""
    from huggingface_hub.repocard import metadata_load

    try:
        header = metadata_load(readme) or {}
    except Exception:  # whatever a parser says about a text that anybody may have written
        return ""
    licence = header.get("license")
    if licence == "other":
        licence = header.get("license_name", licence)
    return ", ".join(map(str, licence)) if isinstance(licence, list) else str(licence or "")


def _what_to_put_where(place: Place, why: str) -> str:
    """The way out without a network: which file to bring from elsewhere, and what to say then."""
    from huggingface_hub import hf_hub_url

    name = place.file or WEIGHTS[0]
    url, file = hf_hub_url(place.repository, name, revision=place.revision), f"FOLDER/{name.rpartition('/')[2]}"
    return (
        f"{place}: the Hub cannot be reached ({why}), and the cache has no copy; fetch {url} and the config.json "
        f"beside it on another machine, put both into one FOLDER, and give weights={file} (where a model is asked for, "
        f"{file})."
    )
