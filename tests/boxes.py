"""Small sets of images with boxes: coloured shapes on noise, the same content as COCO, VOC and YOLO."""

from __future__ import annotations

import functools
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

SHAPES = ("disc", "square", "triangle")
_COLOURS = {"disc": (220, 40, 40), "square": (40, 170, 60), "triangle": (50, 80, 230)}
_FOLDERS = {"train": "train", "val": "valid"}


@dataclass(frozen=True)
class Drawn:
    """One image: its name without suffix, its pixels, its split, and its boxes (x1, y1, x2, y2, class name)."""

    name: str
    image: Image.Image
    split: str
    boxes: tuple[tuple[int, int, int, int, str], ...]


def draw_shapes(number: int, size: tuple[int, int] = (96, 128), most: int = 3, seed: int = 0) -> Drawn:
    """An image of `size` (H, W) with up to `most` shapes that do not overlap; every fifth image has none.

    The same arguments give the same pixels.
    """
    height, width = size
    dice = np.random.default_rng([seed, number])
    noise = dice.normal(128, 25, (height, width, 3)).clip(0, 255).astype(np.uint8)
    image = Image.fromarray(noise)
    pen, boxes = ImageDraw.Draw(image), []
    for place in range(0 if number % 5 == 4 else int(dice.integers(1, most + 1))):
        side = int(dice.integers(14, min(height, width // most) - 4))
        left = width * place // most + int(dice.integers(0, width // most - side))
        top = int(dice.integers(0, height - side))
        shape = SHAPES[int(dice.integers(len(SHAPES)))]
        _draw(pen, shape, left, top, side)
        boxes.append((left, top, left + side, top + side, shape))
    return Drawn(f"shape{number:03d}", image, "val" if number % 4 == 3 else "train", tuple(boxes))


def _draw(pen: ImageDraw.ImageDraw, shape: str, left: int, top: int, side: int) -> None:
    """Fill the shape so that it touches all sides of its box; Pillow's own ends lie inside."""
    right, bottom, colour = left + side - 1, top + side - 1, _COLOURS[shape]
    if shape == "disc":
        pen.ellipse((left, top, right, bottom), fill=colour)
    elif shape == "square":
        pen.rectangle((left, top, right, bottom), fill=colour)
    else:
        pen.polygon(((left, bottom), ((left + right) / 2, top), (right, bottom)), fill=colour)


@functools.cache
def drawn_set(count: int = 12, size: tuple[int, int] = (96, 128), seed: int = 0) -> tuple[Drawn, ...]:
    """`count` images, a quarter of them for validation."""
    return tuple(draw_shapes(number, size, seed=seed) for number in range(count))


def write_coco(folder: Path, drawn: Sequence[Drawn] | None = None, names: Sequence[str] = SHAPES) -> Path:
    """FOLDER/train/*.png and FOLDER/valid/*.png with annotations/instances_train.json and instances_val.json.

    Ids of classes have gaps and begin at 0. Returns: `folder`.
    """
    drawn = drawn_set() if drawn is None else drawn
    (folder / "annotations").mkdir(parents=True, exist_ok=True)
    for split, place in _FOLDERS.items():
        own = [each for each in drawn if each.split == split]
        _save(own, folder / place)
        (folder / "annotations" / f"instances_{split}.json").write_text(json.dumps(coco_document(own, names)))
    return folder


def coco_document(drawn: Sequence[Drawn], names: Sequence[str] = SHAPES) -> dict:
    """COCO's lists; images are numbered from 100, annotations from 1, classes 0, 3, 6 and so on."""
    images, annotations = [], []
    for number, each in enumerate(drawn, start=100):
        width, height = each.image.size
        images.append({"id": number, "file_name": f"{each.name}.png", "width": width, "height": height})
        for x1, y1, x2, y2, name in each.boxes:
            annotations.append({
                "id": len(annotations) + 1, "image_id": number, "category_id": 3 * names.index(name),
                "bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0,
            })  # fmt: skip
    categories = [{"id": 3 * number, "name": name, "supercategory": "shape"} for number, name in enumerate(names)]
    return {"images": images, "annotations": annotations, "categories": categories}


def write_voc(folder: Path, drawn: Sequence[Drawn] | None = None) -> Path:
    """FOLDER/JPEGImages, Annotations and ImageSets/Main, pixels counted from 1. Returns: `folder`."""
    drawn = drawn_set() if drawn is None else drawn
    _save(drawn, folder / "JPEGImages")
    (folder / "Annotations").mkdir(parents=True, exist_ok=True)
    (folder / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    for each in drawn:
        (folder / "Annotations" / f"{each.name}.xml").write_text(voc_document(each))
    for split in _FOLDERS:
        names = [each.name for each in drawn if each.split == split]
        (folder / "ImageSets" / "Main" / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
    return folder


def voc_document(drawn: Drawn) -> str:
    """The XML of one image."""
    width, height = drawn.image.size
    objects = "".join(
        f"<object><name>{name}</name><pose>Unspecified</pose><truncated>0</truncated><difficult>0</difficult><bndbox>"
        f"<xmin>{x1 + 1}</xmin><ymin>{y1 + 1}</ymin><xmax>{x2}</xmax><ymax>{y2}</ymax></bndbox></object>\n"
        for x1, y1, x2, y2, name in drawn.boxes
    )
    return (
        f"<annotation><filename>{drawn.name}.png</filename>\n"
        f"<size><width>{width}</width><height>{height}</height><depth>3</depth></size>\n{objects}</annotation>\n"
    )


def write_yolo(folder: Path, drawn: Sequence[Drawn] | None = None, names: Sequence[str] = SHAPES) -> Path:
    """FOLDER/images/train, images/valid, labels/train, labels/valid and data.yaml. Returns: `folder`.

    An image without objects has no label file.
    """
    drawn = drawn_set() if drawn is None else drawn
    for split, place in _FOLDERS.items():
        own = [each for each in drawn if each.split == split]
        _save(own, folder / "images" / place)
        (folder / "labels" / place).mkdir(parents=True, exist_ok=True)
        for each in own:
            if each.boxes:
                (folder / "labels" / place / f"{each.name}.txt").write_text(yolo_lines(each, names))
    listed = "".join(f"  {number}: {name}\n" for number, name in enumerate(names))
    (folder / "data.yaml").write_text(f"train: images/train\nval: images/valid\nnames:\n{listed}")
    return folder


def yolo_lines(drawn: Drawn, names: Sequence[str] = SHAPES) -> str:
    """A line for each object: class, centre and size."""
    width, height = drawn.image.size
    return "".join(
        f"{names.index(name)} {(x1 + x2) / 2 / width:.8f} {(y1 + y2) / 2 / height:.8f} "
        f"{(x2 - x1) / width:.8f} {(y2 - y1) / height:.8f}\n"
        for x1, y1, x2, y2, name in drawn.boxes
    )


def _save(drawn: Sequence[Drawn], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for each in drawn:
        each.image.save(folder / f"{each.name}.png", compress_level=1)
