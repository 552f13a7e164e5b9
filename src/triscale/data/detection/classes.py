"""Names of classes as files say them: by name they are one over all files, whatever their ids."""

from __future__ import annotations

import collections
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from triscale.data.detection.said import BoxFinding
from triscale.errors import DataError


class NamedClass(NamedTuple):
    """A class where it is named. key: its id there. used: how many boxes have it there."""

    name: str
    key: object
    split: str | None
    path: Path
    record: str
    used: int = 1


def learnt_names(named: Sequence[NamedClass]) -> tuple[dict[str, tuple[Path, str]], list[BoxFinding]]:
    """The names that can be learnt, in order: those of files for training where there are any, else all of them.

    Returns: the names, each with the file that names it first and where; and a finding for each other one that val or
        test has boxes of.
    Raises: DataError for a name that no terminal or page can show.
    """
    for each in named:
        if any(unicodedata.category(letter) in ("Cc", "Cs") for letter in each.name):
            raise DataError(f"{each.path}: class name {each.name!r} has control characters; give it another name.")
    names: dict[str, tuple[Path, str]] = {}
    for each in [each for each in named if each.split in (None, "train")] or named:
        names.setdefault(each.name, (each.path, each.record))
    findings, told = [], set()
    for each in named:
        if each.name not in names and each.used and each.name not in told:
            told.add(each.name)
            alike = [name for name in names if _plain(name) == _plain(each.name)]
            hint = f"train calls it {alike[0]!r}" if alike else f"train has {', '.join(list(names)[:8])}"
            message = f"class {each.name!r} of {each.split} is none of train's; {hint}"
            findings.append(BoxFinding("class-names", each.path, each.record, message))
    return names, findings


def doubtful_names(named: Sequence[NamedClass]) -> list[BoxFinding]:
    """Names that differ only by case, spaces or marks between words, and one name under two ids of a file."""
    findings = []
    groups: dict[str, dict[str, NamedClass]] = collections.defaultdict(dict)
    ids: dict[tuple[Path, str], NamedClass] = {}
    trained = {each.name for each in named if each.split in (None, "train")}
    for each in named:
        before = ids.setdefault((each.path, each.name), each)
        if before.key != each.key:
            message = f"class {each.name!r} has the ids {before.key!r} and {each.key!r}; it is read as one class"
            findings.append(BoxFinding("class-names", each.path, each.record, message, before.record))
        if each.name in trained or not trained:
            groups[_plain(each.name)].setdefault(each.name, each)
    for variants in groups.values():
        first, *others = sorted(variants.values(), key=lambda each: -each.used)
        for each in others:
            message = f"class {each.name!r} beside {first.name!r}: are they one? They are learnt as two"
            findings.append(BoxFinding("class-names", each.path, each.record, message, first.record))
    return findings


def _plain(name: str) -> str:
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter not in " _-")
