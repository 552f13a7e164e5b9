"""Sets of images with objects and boxes that a detector could have found there."""

from pathlib import Path

import numpy as np

from triscale.data.detection.dataset import BoxLabel, BoxSample
from triscale.detection.detections import Detections

SIZE = (200, 300)


def image(*boxes, name="image.jpg"):
    """A sample of objects (x1, y1, x2, y2, class[, crowd])."""
    return BoxSample(Path(name), SIZE, tuple(BoxLabel(*box) for box in boxes))


def answer(*rows):
    """Detections of rows (x1, y1, x2, y2, class, score)."""
    table = np.array(rows, np.float64).reshape(-1, 6)
    return Detections(table[:, :4], table[:, 5], table[:, 4])


def random_set(seed, images=30, classes=4, most=8, unused=(), told=20, crowds=0.1, grid=0):
    """Objects of any size and answers near them; classes of `unused` have no object, but are told.

    grid: scores and places are rounded so that many are equal; 0 leaves them as they are.
    """
    dice = np.random.default_rng(seed)
    used = [each for each in range(classes) if each not in unused]
    samples, found = [], []
    for number in range(images):
        objects, rows = [], []
        for _ in range(int(dice.integers(0, most + 1)) if dice.random() > 0.2 else 0):
            sides = np.exp(dice.uniform(np.log(5), np.log(190), 2))
            x, y = dice.uniform(0, (SIZE[1], SIZE[0]) - sides)
            box = np.array([x, y, x + sides[0], y + sides[1]])
            box = np.round(box / grid) * grid + (0, 0, grid, grid) if grid else box
            crowd = dice.random() < crowds
            area = float(np.prod(box[2:] - box[:2]) * dice.uniform(0.3, 1)) if dice.random() < 0.3 else None
            objects.append(BoxLabel(*box.tolist(), int(dice.choice(used)), bool(crowd), area))
        for _ in range(int(dice.integers(0, told + 1))):
            label, score = int(dice.integers(classes)), dice.random()
            if objects and dice.random() < 0.8:
                base = objects[int(dice.integers(len(objects)))]
                box = np.array(base[:4]) + dice.normal(0, 0.12, 4) * (base.x2 - base.x1 + base.y2 - base.y1) / 2
                label = base.label if dice.random() < 0.8 else label
            else:
                box = dice.uniform(0, 150, 4)
            box = np.concatenate([np.minimum(box[:2], box[2:]), np.maximum(box[:2], box[2:]) + 1])
            rows.append((*(np.round(box / grid) * grid if grid else box), label, round(score, 1) if grid else score))
        samples.append(image(name=f"{number}.jpg"))
        samples[-1] = BoxSample(samples[-1].path, SIZE, tuple(objects))
        found.append(answer(*rows))
    return found, samples
