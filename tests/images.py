"""Small image sets for tests: made from a seed, learnable in seconds, as different between classes as photographs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

NAMES = ("apple", "bridge", "cloud", "dolphin", "engine", "forest", "guitar", "harbour", "island", "jacket")


def make_image(label: int, number: int = 0, size: int | tuple[int, int] = 32, seed: int = 0) -> Image.Image:
    """An RGB image of class `label`: stripes whose direction, period and colour belong to the class, plus noise.

    size: (H, W) or one number. The same arguments give the same pixels.
    """
    height, width = (size, size) if isinstance(size, int) else size
    random = np.random.default_rng([seed, label, number])
    y, x = np.mgrid[0:height, 0:width] / 32
    angle = label * np.pi / 5 + random.normal(0, 0.05)
    wave = np.sin(2 * np.pi * (2 + label % 3) * (x * np.cos(angle) + y * np.sin(angle)) + random.uniform(0, 6.28))
    colour = np.array([(label * 53) % 256, (label * 101 + 80) % 256, (label * 151 + 160) % 256])
    pixels = colour + 60 * wave[..., None] + random.normal(0, 12, (height, width, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_photo(height: int, width: int, seed: int = 0) -> Image.Image:
    """What a photograph is to a resize: structure at all scales, little of it at the pixel."""
    dice = np.random.default_rng(seed)
    pixels = np.full((height, width, 3), 128.0)
    for scale in (160, 80, 40, 20):
        coarse = dice.integers(0, 256, (max(2, height // scale), max(2, width // scale), 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
        pixels += (np.asarray(smooth, dtype=float) - 128) * scale / 300
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def make_folder(
    folder: Path,
    classes: int = 3,
    per_class: int = 8,
    size: int | tuple[int, int] = 32,
    seed: int = 0,
    splits: dict[str, int] | None = None,
    suffix: str = ".png",
) -> Path:
    """An image folder: FOLDER/CLASS/000.png, or FOLDER/SPLIT/CLASS/000.png with `splits` {name: images per class}.

    Returns: `folder`.
    """
    for split, count in (splits or {"": per_class}).items():
        for label in range(classes):
            place = folder / split / NAMES[label]
            place.mkdir(parents=True, exist_ok=True)
            for number in range(count):
                # another split shows other images of the same class
                image = make_image(label, number, size, seed=seed + sum(split.encode()))
                image.save(place / f"{number:03d}{suffix}", quality=92)
    return folder
