"""Pascal VOC: one XML file for each image, and lists of names for the splits.

Source: the VOC2012 development kit, http://host.robots.ox.ac.uk/pascal/VOC/voc2012/: boxes are xmin, ymin, xmax, ymax
in pixels counted from 1, both ends inside the box. LabelImg and others count from 0; a 0 anywhere tells so.
"""

from __future__ import annotations

import collections
import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError, TreeBuilder, XMLParser

from triscale.data.detection.classes import NamedClass, doubtful_names, learnt_names
from triscale.data.detection.places import ABSENT, Places, read_limited, relative_name
from triscale.data.detection.said import BoxFinding, BoxListing, Corners, Form, Gathered, SaidBox, SaidImage
from triscale.data.images import is_image_name
from triscale.errors import DataError
from triscale.spec.network import Size

MOST_BYTES = 20_000_000  # of one image's XML
_CORNERS = ("xmin", "ymin", "xmax", "ymax")


@dataclass(slots=True)
class _Record:
    """One XML file."""

    path: Path
    name: str
    split: str | None
    said: str = ""  # <filename>
    size: Size | None = None
    objects: list[tuple[int, str, Corners, bool]] = field(default_factory=list)  # number, class, corners, difficult


def read_voc(
    root: Path, files: Sequence[tuple[Path, str | None]], folders: Sequence[Path], images: Mapping[str, list[Path]]
) -> BoxListing:
    """What XML files say.

    root: the set's folder. files: the XML files, each with its split. folders: where images may lie, besides the
        folder of the XML file itself.
    images: the images of those folders by their names without suffix; where an XML file's own name is among them that
        one is meant, whatever <filename> says: files are renamed together, and what stands in them stays.
    """
    gathered = Gathered()
    read = [each for path, split in files if (each := _read(path, relative_name(path, root), split, gathered))]
    named = _named(read)
    classes, unknown = learnt_names(named)
    gathered.findings += unknown
    gathered.doubts += doubtful_names(named)
    numbers = {name: number for number, name in enumerate(classes)}
    for each, (path, why) in zip(read, _paths(read, folders, images, root), strict=True):
        boxes = [
            SaidBox(values, numbers[name], number, difficult)
            for number, name, values, difficult in each.objects
            if name in numbers
        ]
        name = relative_name(path, root)
        image = SaidImage(name, path, each.name, each.name, "object", boxes, each.size, each.split)
        gathered.images.append(dataclasses.replace(image, lost="" if why == ABSENT else why))
    return gathered.listing(root, "VOC", _form(read, gathered), classes)


def _named(read: Sequence[_Record]) -> list[NamedClass]:
    """Every class where it stands first, in training files if it is there."""
    first: dict[str, NamedClass] = {}
    used: collections.Counter[str] = collections.Counter()
    for each in sorted(read, key=lambda one: one.split not in (None, "train")):
        for number, name, _, _ in each.objects:
            used[name] += 1
            if name not in first:
                first[name] = NamedClass(name, name, each.split, each.path, f"{each.name}: object {number}")
    return [first[name]._replace(used=used[name]) for name in sorted(first)]


def _form(read: Sequence[_Record], gathered: Gathered) -> Form:
    zero = next(
        (each for each in read for _, _, values, _ in each.objects if 0 <= min(values[:2]) < 1 < max(values)), None
    )
    if zero is None:
        return "voc"
    gathered.notes.append(f"Pixels are counted from 0, as in {zero.name}, not from 1 as in Pascal VOC.")
    return "xyxy"


def _paths(
    read: Sequence[_Record], folders: Sequence[Path], images: Mapping[str, list[Path]], root: Path
) -> list[tuple[Path, str]]:
    """The image of each record, and why there is none."""
    found: dict[int, tuple[Path, str]] = {}
    for number, each in enumerate(read):
        same = images.get(each.path.stem, [])
        if same:  # of several, the one whose folders are called most alike: VOC2007/JPEGImages, images/train
            own = set(each.path.parent.parts)
            found[number] = max(same, key=lambda path: len(own & set(path.parent.parts))), ""
    left = [number for number in range(len(read)) if number not in found]
    near = [*folders, *dict.fromkeys(read[number].path.parent for number in left)]
    places = Places(root).find([read[number].said or f"{read[number].path.stem}.jpg" for number in left], near)
    found |= dict(zip(left, places, strict=True))
    return [found[number] for number in range(len(read))]


def _read(path: Path, name: str, split: str | None, gathered: Gathered) -> _Record | None:
    try:
        tree = parse_xml(read_limited(path, MOST_BYTES, "XML files"))
    except (ParseError, DataError, ValueError, LookupError) as error:
        why = str(error).removeprefix(f"{path}: ")
        gathered.findings.append(BoxFinding("bad-record", path, name, f"not readable as XML ({why})"))
        return None
    if tree.tag != "annotation":
        message = f"the outermost tag is <{tree.tag}>; expected <annotation>"
        gathered.findings.append(BoxFinding("bad-record", path, name, message))
        return None
    record = _Record(path, name, split, (tree.findtext("filename") or "").strip())
    record.size = _size(tree, record, gathered)
    for number, each in enumerate(tree.findall("object"), start=1):
        _add_object(each, number, record, gathered)
    return record


def _size(tree: Element, record: _Record, gathered: Gathered) -> Size | None:
    said = [tree.findtext(f"size/{each}") for each in ("height", "width")]
    if said in ([None, None], ["0", "0"]):  # some tools write 0 where they do not know
        return None
    sides = [_number(each) for each in said]
    if all(each is not None and 0 < each < 1e9 and each == int(each) for each in sides):
        return int(sides[0] or 0), int(sides[1] or 0)
    message = f"width {said[1]!r} and height {said[0]!r}; expected two numbers of pixels"
    gathered.findings.append(BoxFinding("wrong-size", record.path, f"{record.name}: size", message))
    return None


def _add_object(each: Element, number: int, record: _Record, gathered: Gathered) -> None:
    where = f"{record.name}: object {number}"
    name = (each.findtext("name") or "").strip()
    said = [each.findtext(f"bndbox/{corner}") for corner in _CORNERS]
    values = [_number(corner) for corner in said]
    if not name or None in said:
        lacking = "name" if not name else f"bndbox/{_CORNERS[said.index(None)]}"
        message = f"no <{lacking}>; expected a name and a bndbox of xmin, ymin, xmax, ymax"
        gathered.findings.append(BoxFinding("bad-record", record.path, where, message))
    elif None in values:
        wrong = values.index(None)
        message = f"{_CORNERS[wrong]} is {(said[wrong] or '')[:40]!r}; expected a number"
        gathered.findings.append(BoxFinding("not-a-number", record.path, where, message))
    else:
        corners = tuple(value for value in values if value is not None)
        difficult = (each.findtext("difficult") or "0").strip() == "1"
        record.objects.append((number, name, (corners[0], corners[1], corners[2], corners[3]), difficult))


def _number(text: str | None) -> float | None:
    """A finite number, or None."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


class _NoDeclarations(TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        """Raises: ValueError; a document type may declare entities that grow without bound."""
        raise ValueError(f"it declares a document type ({name}), which no annotation needs")


def parse_xml(data: bytes) -> Element:
    """The tree of a small XML document from anywhere: no document type, hence no entities, nothing from outside.

    Raises: ParseError, or LookupError or ValueError (encodings), for what is no such document.
    """
    parser = XMLParser(target=_NoDeclarations())
    parser.feed(data)
    return parser.close()


def images_by_stem(folders: Sequence[Path]) -> dict[str, list[Path]]:
    """The images right inside folders, by their names without suffix."""
    found: dict[str, list[Path]] = {}
    for folder in dict.fromkeys(folders):
        for each in sorted(folder.iterdir()):
            if is_image_name(each) and not each.name.startswith("."):
                found.setdefault(each.stem, []).append(each)
    return found
