"""The little of YAML that a YOLO data file uses: names, and where the images are; nothing in it is ever run."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from triscale.data.detection.places import read_text
from triscale.errors import DataError

MOST_BYTES = 10_000_000
_SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True, slots=True)
class DataYaml:
    """path: the folder that the splits are in, as said; "" where it is not. names: of the classes, by number.

    splits: (split, folder or list of images as said), in the order of the file.
    keypoints: whether key points stand behind the box on each line (kpt_shape).
    """

    path: str
    names: tuple[str, ...]
    splits: tuple[tuple[str, str], ...]
    keypoints: bool = False


def read_data_yaml(path: Path) -> DataYaml:
    """Read path, names, train, val, test and kpt_shape of a data file; other keys are passed over.

    Raises: DataError for what is not understood: anchors, tags, nested values.
    """
    said = _top_level(read_text(path, MOST_BYTES, "YAML files"), path)
    names = _names(said.get("names", ""), path)
    splits = []
    for key, value in said.items():
        if key in _SPLITS:
            listed = _items(value, path)
            splits += [(_SPLITS[key], each) for each in listed if each]
    counted = said.get("nc", "").strip()
    if re.fullmatch("[0-9]+", counted) and counted.lstrip("0") != str(len(names)):
        raise DataError(f"{path}: nc is {counted[:20]}, but there are {len(names)} names; correct one of the two.")
    return DataYaml(_scalar(said.get("path", "")), names, tuple(splits), "kpt_shape" in said)


def _top_level(text: str, path: Path) -> dict[str, str]:
    """Each key at the left margin with all that is said below it, comments removed."""
    found: dict[str, str] = {}
    key = ""
    for number, line in enumerate(text.splitlines(), start=1):
        line = _without_comment(line)
        if not line.strip() or line.strip() in ("---", "..."):
            continue
        opened = re.match(r"""(['"]?)([\w.-]+)\1\s*:(?:\s+(.*)|)$""", line)
        if opened and not _is_open(found.get(key, "")):
            key = opened[2]
            if key in found:
                raise DataError(f"{path}: line {number}: {key} is said twice; keep one of the two.")
            found[key] = opened[3] or ""
        elif key:
            found[key] += "\n" + line
        else:
            raise DataError(f"{path}: line {number}: {line.strip()[:60]!r}; expected a key such as names:")
    return found


def _without_comment(line: str) -> str:
    """The line up to a # outside of quotes that begins it or follows a space."""
    quote = ""
    for place, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and not line[:place].rstrip()[-1:].isalnum():
            quote = letter
        elif letter == "#" and (place == 0 or line[place - 1] in " \t"):
            return line[:place].rstrip()
    return line.rstrip()


def _is_open(value: str) -> bool:
    """Whether a bracket is still to be closed."""
    start = value.lstrip()[:1]
    return start in ("[", "{") and not value.rstrip().endswith("]" if start == "[" else "}")


def _names(value: str, path: Path) -> tuple[str, ...]:
    """A list of names, or numbers with names; in both ways of writing them."""
    if not value.strip():
        raise DataError(f"{path}: no names; expected names: [cat, dog], or a list of them.")
    raw = _raw_items(value, path)
    numbered = [re.match(r"""\s*['"]?([0-9]{1,9})['"]?\s*:\s+(.*)$""", each) for each in raw]
    if not any(numbered):
        names = [_scalar(each) for each in raw]
    elif not all(numbered):
        odd = raw[numbered.index(None)][:40]
        raise DataError(f"{path}: names: {odd!r} beside numbered ones; expected 0: cat, 1: dog and so on.")
    else:
        by_number = {int(each[1]): _scalar(each[2]) for each in numbered if each}
        if sorted(by_number) != list(range(len(numbered))):
            raise DataError(f"{path}: names are numbered {sorted(by_number)[:8]}; expected 0, 1, 2 and so on.")
        names = [by_number[number] for number in range(len(by_number))]
    if not all(names):
        raise DataError(f"{path}: names has an empty name; every class needs one.")
    return tuple(names)


def _items(value: str, path: Path) -> list[str]:
    return [_scalar(each) for each in _raw_items(value, path)]


def _raw_items(value: str, path: Path) -> list[str]:
    """The parts of a list or mapping, in brackets or one a line; a single value is a list of one."""
    text = value.strip()
    if text[:1] in ("[", "{"):
        if _is_open(text):
            raise DataError(f"{path}: a bracket that opens before {text[1:40].strip()!r} is not closed.")
        return [each for each in _split_commas(text[1:-1].replace("\n", " ")) if each]
    if text[:1] in ("&", "*", "!", "|", ">"):
        raise DataError(f"{path}: {text[:40]!r} is more of YAML than is read here; write plain names and paths.")
    lines = [each.strip() for each in text.split("\n") if each.strip()]
    return [each[1:].strip() if each.startswith("- ") or each == "-" else each for each in lines]


def _split_commas(text: str) -> list[str]:
    """Parts between commas outside of quotes."""
    parts, quote = [""], ""
    for letter in text:
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "'\"" and parts[-1].rstrip()[-1:] in ("", ":"):
            quote = letter
        elif letter == ",":
            parts.append("")
            continue
        parts[-1] += letter
    return [each.strip() for each in parts]


def _scalar(text: str) -> str:
    text = text.strip()
    if len(text) >= 2 and text[0] == text[-1] == "'":
        return text[1:-1].replace("''", "'")
    if len(text) >= 2 and text[0] == text[-1] == '"':
        return re.sub(r"\\u([0-9a-fA-F]{4})|\\(.)", lambda m: chr(int(m[1], 16)) if m[1] else m[2], text[1:-1])
    return text
