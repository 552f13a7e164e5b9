"""Decode and resize a 12-megapixel JPEG to 224 x 224: ours against Pillow's plain way, interleaved, medians.

Run: python benchmarks/decode.py [--runs 15]
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from triscale.data.images import open_image
from triscale.data.transforms import load, needed_size, preprocess
from triscale.spec.preprocessing import Preprocessing

SIZE = (3000, 4000)  # (H, W): 12 megapixels
PREPROCESSING = Preprocessing(size=(224, 224), mean=(0.0,) * 3, std=(1 / 255,) * 3)


def write_photo(path: Path) -> None:
    """A JPEG with structure at all scales and some sensor noise, as a phone writes it (quality 92, about 4 MB)."""
    dice = np.random.default_rng(0)
    pixels = np.full((*SIZE, 3), 128, np.float32)
    for scale in (1000, 250, 60, 15, 4):
        coarse = dice.integers(0, 256, (SIZE[0] // scale, SIZE[1] // scale, 3), dtype=np.uint8)
        smooth = Image.fromarray(coarse).resize(SIZE[::-1], Image.Resampling.BICUBIC)
        pixels += (np.asarray(smooth, dtype=np.float32) - 128) * min(0.6, scale**0.5 / 40)
    pixels += dice.normal(0, 2, (*SIZE, 1)).astype(np.float32)
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path, quality=92)


def full_decode(path: Path) -> np.ndarray:
    """What is usually done: decode everything, resize the shorter side to 256, cut out 224."""
    with Image.open(path) as file:
        image = file.convert("RGB")
    side = 256 / min(image.size)
    small = image.resize((round(image.width * side), round(image.height * side)), Image.Resampling.BICUBIC)
    left, top = (small.width - 224) // 2, (small.height - 224) // 2
    return np.asarray(small.crop((left, top, left + 224, top + 224)), dtype=np.float32)


def ours(path: Path) -> np.ndarray:
    """What `predict`, `eval` and training do."""
    return load(path, PREPROCESSING).permute(1, 2, 0).numpy()


def seconds(function: Callable[[], object]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=15)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "photo.jpg"
        write_photo(path)
        needed = needed_size(PREPROCESSING, PREPROCESSING.size)
        ways: dict[str, Callable[[], object]] = {
            "Pillow, full decode + resize + crop": lambda: full_decode(path),
            "triscale, scaled decode + resize": lambda: ours(path),
            "  of which decoding": lambda: open_image(path, needed),
        }
        for way in ways.values():  # warm up
            way()
        times: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(runs):
            for name, way in ways.items():
                times[name].append(seconds(way))
        reference = statistics.median(times["Pillow, full decode + resize + crop"])
        print(f"{SIZE[1]} x {SIZE[0]} JPEG, {path.stat().st_size / 1e6:.1f} MB, to 224 x 224; {runs} interleaved runs")
        for name, measured in times.items():
            median = statistics.median(measured)
            print(f"{name:38} {median * 1e3:8.1f} ms   ratio {median / reference:.2f}")
        full = preprocess(open_image(path), PREPROCESSING).permute(1, 2, 0).numpy()
        print(f"what scaled decoding changes: {np.abs(full - ours(path)).mean():.2f} of 255 on average")


if __name__ == "__main__":
    main()
