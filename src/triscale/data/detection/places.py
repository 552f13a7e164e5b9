"""Where the images of a set are: records name them as they lay on the machine that wrote them."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Sequence, Set
from pathlib import Path

from triscale.data.detection.tree import split_in, split_on
from triscale.errors import DataError

ABSENT = "no such file"
MOST_FILES = 4_000_000  # below one set; a home folder taken for a set is told so, instead of being walked for minutes


class Places:
    """Finds the files that records name, in given folders first, then anywhere below the set's root.

    root: the set's folder. Nothing is walked as long as files are where records say.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._index: dict[str, list[Path]] | None = None

    def find(self, said: Sequence[str], folders: Sequence[Path], split: str | None = None) -> list[tuple[Path, str]]:
        """Where the files are that the records of one file, of one split, call `said`.

        Backslashes, drive letters and absolute paths of another machine are understood: the longest ending of the
        path that exists in one of `folders` counts, in another case or Unicode form if need be. Where no file at all
        is found so, names alone are looked for below the root, but not in a folder of another split; else one that is
        missing might be replaced by another folder's image of the same name.
        Returns: for each its path, and "" or why there is none.
        """
        found = [_directly(each, folders) for each in said]
        lost = [number for number, (_, why) in enumerate(found) if why]
        if lost:
            known = {path.parent for path, why in found if not why}
            if self._index is None:
                self._index = index_files(self.root)
            for number in lost:
                path, why = found[number]
                same = self._index.get(_plain(path.name), [])
                near = [each for each in same if self._may_hold(each.parent, known, split)]
                found[number] = _only(path, near) if near and path.name else (path, why)
        return found

    def _may_hold(self, folder: Path, known: Set[Path], split: str | None) -> bool:
        """Whether a folder may hold images that are not where their records say. known: where others of them are."""
        if known:
            return folder in known
        own = split_on(folder, self.root) or split_in(folder.name)
        return split is None or own in (None, split)


def _directly(said: str, folders: Sequence[Path]) -> tuple[Path, str]:
    parts = [part for part in re.split(r"[/\\]", said.strip()) if part not in ("", ".")]
    if not parts or any(unicodedata.category(letter) == "Cc" for letter in said):
        shown = repr(said[:80])
        return folders[0] / shown[1:-1].replace("/", "_"), f"{shown} is no name of a file"
    try:
        if Path(said).is_absolute() and (direct := Path(said)).is_file():
            return direct, ""
        for start in range(len(parts)):
            for folder in folders:
                found = folder.joinpath(*parts[start:])
                found = Path(os.path.normpath(found)) if ".." in parts else found
                if found.is_file():
                    return found, ""
    except OSError as error:  # a name that is too long, say
        return folders[0] / parts[-1][:80], f"cannot be looked for ({error.strerror})"
    foreign = Path(said).is_absolute() or ":" in parts[0]
    return folders[0].joinpath(*(parts[-1:] if foreign else parts)), ABSENT


def _only(wanted: Path, near: list[Path]) -> tuple[Path, str]:
    exact = [each for each in near if each.name == wanted.name] or near
    if len(exact) == 1:
        return exact[0], ""
    shown = ", ".join(str(each.parent) for each in exact[:3])
    return wanted, f"{ABSENT}; files of that name are in {shown}"


def index_files(root: Path) -> dict[str, list[Path]]:
    """All files below `root` by name, case and Unicode form put aside; hidden ones are not looked at.

    Raises: DataError where there are more than `MOST_FILES`.
    """
    found: dict[str, list[Path]] = {}
    count = 0
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(each for each in folders if not each.startswith("."))
        count += len(files)
        if count > MOST_FILES:
            raise DataError(f"{root}: more than {MOST_FILES:,} files are below it; give the folder of the set alone.")
        for name in files:
            found.setdefault(_plain(name), []).append(Path(folder, name))
    return found


def relative_name(path: Path, root: Path) -> str:
    """What an image or a file of records is called in messages: relative to the set's root where it is below it."""
    try:
        return path.relative_to(root).as_posix()
    except ValueError:
        return path.as_posix()


def read_limited(path: Path, limit: int, what: str) -> bytes:
    """The bytes of a file of records. Raises: DataError where it cannot be read, or has more than `limit` bytes."""
    try:
        if path.stat().st_size > limit:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes; {what} of more than {limit:,} are not read.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}).") from error


def read_text(path: Path, limit: int, what: str) -> str:
    """The text of a file of records, in UTF-8 with or without a byte-order mark, or UTF-16 with one.

    Raises: DataError where it cannot be read, is larger than `limit` bytes or in no such encoding.
    """
    data = read_limited(path, limit, what)
    encoding = "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: not text in UTF-8 ({error.reason} at byte {error.start}); save it as UTF-8."
        ) from error


def _plain(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()
