"""What a detector reaches in half an hour on two cores, on real images: MNIST digits on photographs it has never seen.

Everything is what a user would type, and is printed: the set is made (triscale.data.scenes), anchors are fitted to its
training boxes, EfficientDet-Lite0 is trained from the ImageNet weights of its backbone within a budget of 1 G
multiply-accumulates and 4 M parameters, and judged once on test photographs and test digits that are in no training
image. Then it draws what it finds in six test images, into one picture.

Half an hour is some 35,000 images. They are not 1,000 seen 35 times, of which it would remember digits and places, but
5,000 seen 7 times, in changing colours.

The same command goes on where it stopped.
Run: python benchmarks/detector_accuracy.py [--out runs/digits] [--images 5000] [--epochs 7] [--colours 1]
                                            [--picture docs/pictures/detections.jpg]
Exit 1 below mAP50 .90 or mAP .60, over 30 minutes of training, or outside of the budget.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from pathlib import Path

from PIL import Image

from triscale.cli.main import main as triscale
from triscale.data.scenes import SPLITS, write_scenes

MAP50, MAP, SECONDS = 0.90, 0.60, 1800.0
MACS, PARAMS = 1e9, 4e6
RESTING = ("backbone.stem", "backbone.stages.0", "backbone.stages.1")
SHOWN, COLUMNS, SIDE = 6, 3, 320  # test images in the picture, in a row, and their pixels


def run(*words: object) -> None:
    """One command of triscale, printed first."""
    given = [str(word) for word in words]
    print(f"\n$ triscale {shlex.join(given)}", flush=True)
    if code := triscale(given):
        sys.exit(code)


def draw(model: Path, scenes: Path, folder: Path, picture: Path) -> None:
    """What the detector finds in test images, from all parts of the set, side by side."""
    images = sorted((scenes / "test").glob("*.jpg"))
    chosen = [images[number * len(images) // SHOWN] for number in range(SHOWN)]
    run("predict", model, *chosen, "--score", 0.5, "--draw", folder)
    page = Image.new("RGB", (COLUMNS * SIDE, -(-SHOWN // COLUMNS) * SIDE))
    for number, path in enumerate(chosen):
        (drawn,) = folder.glob(f"*{path.stem}*")
        with Image.open(drawn) as image:
            place = (number % COLUMNS * SIDE, number // COLUMNS * SIDE)
            page.paste(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS), place)
    picture.parent.mkdir(parents=True, exist_ok=True)
    page.save(picture, quality=88, subsampling=0)
    print(f"\n{picture}: {SHOWN} test images")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/digits"))
    parser.add_argument("--images", type=int, default=5000, help="for training")
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--colours", type=int, default=1, help="operations on the colours of each image")
    parser.add_argument("--picture", type=Path)
    given = parser.parse_args()
    scenes, fitted, trained = given.out / "scenes", given.out / "fitted.json", given.out / "run"
    write_scenes(scenes, 0, {**SPLITS, "train": given.images})
    run("data", "anchors", scenes, "--detector", "efficientdet_lite0", "--write", fitted)
    resting = [word for part in RESTING for word in ("--freeze", part)]
    length = ("--epochs", given.epochs, "--set", "least_steps=0", "--set", f"warmup_epochs={1000 / given.images:g}")
    colours = ("--set", f"detection.augmentation.colour_layers={given.colours}")
    changed = ("--no-mirror", *resting, *length, *colours)
    run("train", fitted, scenes, "--weights", "pretrained", *changed, "--out", trained)
    run("eval", trained, scenes)
    draw(trained, scenes, given.out / "drawn", given.picture or given.out / "detections.jpg")
    found = json.loads((trained / "metrics.json").read_text())
    inside = found["macs"] <= MACS and found["params"] <= PARAMS
    print(
        f"\n{found['split']}: mAP50 {found['map50']:.1%} (wanted {MAP50:.0%}), mAP {found['map']:.1%} (wanted "
        f"{MAP:.0%}), {found['seconds'] / 60:.1f} minutes of training (at most {SECONDS / 60:.0f}), "
        f"{found['macs'] / 1e6:.0f} M MACs and {found['params'] / 1e6:.2f} M parameters, "
        f"{'inside' if inside else 'OUTSIDE of'} the budget"
    )
    reached = found["map50"] >= MAP50 and found["map"] >= MAP and found["seconds"] <= SECONDS
    return 0 if reached and inside else 1


if __name__ == "__main__":
    sys.exit(main())
