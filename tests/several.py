"""Images with several labels for tests: patterns that are laid over each other, and the CSV that says which."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image

from tests.images import NAMES


def make_labelled(labels: tuple[int, ...], number: int, size: int = 32, seed: int = 0) -> Image.Image:
    """A grey, noisy image on which a coloured square lies for every label, anywhere."""
    dice = np.random.default_rng([seed, number, *labels])
    pixels = dice.normal(110, 12, (size, size, 3))
    side = size // 3
    for label in labels:
        top, left = dice.integers(0, size - side, 2)
        colour = np.array([(label * 53) % 256, (label * 101 + 80) % 256, (label * 151 + 160) % 256])
        pixels[top : top + side, left : left + side] = colour + dice.normal(0, 8, (side, side, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_several(folder: Path, classes: int = 3, splits: dict[str, int] | None = None, seed: int = 0) -> Path:
    """Images and the CSV that names their labels; every combination of labels, none among them, comes in turns.

    splits: name -> images; all without a split if not given: 60. Returns: the CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows = [("path", "label", "split")]
    for split, count in (splits or {"": 60}).items():
        for number in range(count):
            labels = tuple(i for i in range(classes) if (number % 2**classes) >> i & 1)
            name = f"{split}{number:03d}.png"
            make_labelled(labels, number, seed=seed + sum(split.encode())).save(folder / name)
            rows.append((name, "|".join(NAMES[each] for each in labels) or "|", split))
    table = folder / "labels.csv"
    with table.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return table
