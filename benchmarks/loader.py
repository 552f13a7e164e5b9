"""Images a second from 12-megapixel JPEGs for training: ours against torchvision's ImageFolder on torch's DataLoader.

Both: random crop of 8 to 100 % of the area resized to 224 x 224, mirrored half of the time, float32, normalised, in
batches of 8, by the same number of workers (theirs are processes that stay, ours threads). The peer decodes whole
images with Pillow, which is what its datasets do. A further row gives it a loader of one's own that reduces every JPEG
to about twice 224 pixels as it decodes; that knows nothing of the crop, so small crops are then enlarged from few
pixels (ours decodes twice what the crop needs). Decoded images are kept by neither. One row of ours gives bytes that
are cropped and resized only, as `augment_on = "device"` reads them: what the device then does is not in it. Interleaved
epochs, medians; the last row reads the same images from shards (`data pack`).
Run: python benchmarks/loader.py [--runs 5] [--images 24] [--workers N]
"""

from __future__ import annotations

import argparse
import io
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage import data as photographs
from sklearn.datasets import load_sample_image

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests import peers

from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.data.parallel import cores
from triscale.data.shards.pack import pack
from triscale.spec.preprocessing import Preprocessing

SIZE = (4000, 3000)  # (W, H): 12 megapixels
SIDE = 224
BATCH = 8
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
CLASSES = 4


def sources() -> list[Image.Image]:
    """Photographs that come with scikit-image and scikit-learn."""
    taken = [getattr(photographs, name)() for name in ("astronaut", "chelsea", "coffee", "rocket")]
    return [Image.fromarray(each) for each in (*taken, load_sample_image("china.jpg"), load_sample_image("flower.jpg"))]


def write_photographs(folder: Path, count: int) -> int:
    """`count` pieces of the photographs, enlarged, with a sensor's noise, as JPEG of quality 90. Returns: bytes."""
    dice, originals = np.random.default_rng(0), sources()
    for number in range(count):
        image = originals[number % len(originals)]
        width = dice.uniform(0.6, 1.0) * min(image.width, image.height * 4 / 3)
        left, top = dice.uniform(0, image.width - width), dice.uniform(0, image.height - width * 3 / 4)
        box = (left, top, left + width, top + width * 3 / 4)
        pixels = np.asarray(image.resize(SIZE, Image.Resampling.BICUBIC, box), dtype=np.float32)
        pixels = pixels + dice.standard_normal((*pixels.shape[:2], 1), dtype=np.float32) * 3
        place = folder / f"class{number % CLASSES}" / f"{number:03d}.jpg"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(place, quality=90)
    return sum(each.stat().st_size for each in folder.rglob("*.jpg"))


def reduced(path: str) -> Image.Image:
    """A loader for ImageFolder that decodes a JPEG smaller, where it stays twice as large as the crop."""
    with Path(path).open("rb") as file:
        image = Image.open(io.BytesIO(file.read()))
        image.draft("RGB", (2 * SIDE, 2 * SIDE))
        return image.convert("RGB")


def peer(folder: Path, workers: int, loader: Callable[[str], Image.Image] | None) -> Callable[[], int]:
    """One epoch of torchvision's pipeline; workers stay from epoch to epoch. Returns: the images it gave."""
    peers.torchvision()
    from torchvision import datasets, transforms

    made = transforms.Compose([
        transforms.RandomResizedCrop(SIDE),
        transforms.RandomHorizontalFlip(),
        transforms.ToTensor(),
        transforms.Normalize(MEAN, STD),
    ])  # fmt: skip
    chosen = {} if loader is None else {"loader": loader}
    images = datasets.ImageFolder(str(folder), made, **chosen)
    batches = torch.utils.data.DataLoader(
        images, BATCH, shuffle=True, num_workers=workers, persistent_workers=True, drop_last=True
    )
    return lambda: sum(len(labels) for _, labels in batches)


def ours(data: Path, workers: int, as_bytes: bool = False) -> Callable[[], int]:
    """One epoch of ours."""
    preprocessing = Preprocessing(size=(SIDE, SIDE), mean=MEAN, std=STD, interpolation="bilinear")
    samples = read_dataset(data, val_share=0.0, verify=False).train
    batches = Batches(samples, preprocessing, BATCH, Augmentation(), workers=workers, kept_bytes=0, as_bytes=as_bytes)
    epochs = iter(range(10**9))
    return lambda: sum(len(batch.labels) for batch in batches.epoch(next(epochs)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--images", type=int, default=24)
    parser.add_argument("--workers", type=int, default=cores())
    given = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder, shards = Path(place) / "photographs", Path(place) / "shards"
        os.environ["XDG_CACHE_HOME"] = str(Path(place) / "cache")
        size = write_photographs(folder, given.images)
        pack(folder, shards)
        plain = "torchvision ImageFolder, DataLoader"
        ways = {
            plain: peer(folder, given.workers, None),
            "  the same, JPEG reduced as it decodes": peer(folder, given.workers, reduced),
            "triscale, image folder": ours(folder, given.workers),
            "  the same, bytes for the device": ours(folder, given.workers, as_bytes=True),
            "triscale, shards": ours(shards, given.workers),
        }
        rates: dict[str, list[float]] = {name: [] for name in ways}
        for run in range(given.runs + 1):  # the first one warms up
            for name, epoch in ways.items():
                start = time.perf_counter()
                images = epoch()
                if run:
                    rates[name].append(images / (time.perf_counter() - start))
        print(
            f"{given.images} JPEGs of {SIZE[0]} x {SIZE[1]}, {size / given.images / 1e6:.1f} MB each, "
            f"{given.workers} workers, {given.runs} interleaved epochs"
        )
        reference = statistics.median(rates[plain])
        for name, measured in rates.items():
            rate = statistics.median(measured)
            spread = f"{min(measured):.1f} to {max(measured):.1f}"
            print(f"{name:42} {rate:7.1f} images/s ({spread})   {rate / reference:.2f} x")


if __name__ == "__main__":
    main()
