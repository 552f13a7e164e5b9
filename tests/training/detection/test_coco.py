import contextlib
import io
import json
import sys
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from tests.training.detection.sets import answer, image, random_set
from triscale.data.detection.read import read_boxes
from triscale.errors import MissingExtraError
from triscale.training.detection.coco import NAMES, coco_figures

# For one right box of one pycocotools has a precision of 1 / (1 + 2.2e-16), faster-coco-eval has 1.
LAST_DIGIT = 1e-15

pycoco = pytest.importorskip("pycocotools.coco", reason="pycocotools is not installed")
pycocoeval = pytest.importorskip("pycocotools.cocoeval", reason="pycocotools is not installed")


def reference(found, samples, classes):
    """The twelve figures and the classes' precision by pycocotools, from JSON-like records."""
    truth, told = pycoco.COCO(), []
    records = []
    for number, sample in enumerate(samples):
        for box in sample.boxes:
            sides = [box.x2 - box.x1, box.y2 - box.y1]
            area = sides[0] * sides[1] if box.area is None else box.area
            records.append({"id": len(records) + 1, "image_id": number, "category_id": box.label, "area": area,
                            "iscrowd": int(box.crowd), "bbox": [box.x1, box.y1, *sides]})  # fmt: skip
        each = found[number]
        for box, score, label in zip(each.boxes.astype(np.float64), each.scores, each.labels, strict=True):
            told.append({"image_id": number, "category_id": int(label), "score": float(score),
                         "bbox": [box[0], box[1], box[2] - box[0], box[3] - box[1]]})  # fmt: skip
    truth.dataset = {
        "info": {}, "images": [{"id": i, "height": 200, "width": 300} for i in range(len(samples))],
        "annotations": records, "categories": [{"id": i, "name": str(i)} for i in range(classes)],
    }  # fmt: skip
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        asked = pycocoeval.COCOeval(truth, truth.loadRes(told), "bbox")
        asked.evaluate()
        asked.accumulate()
        asked.summarize()
    return asked.stats, asked.eval["precision"][..., 0, -1]


def told_values(figures):
    """The twelve in pycocotools' way: -1 where there is nothing to average over."""
    return [-1.0 if np.isnan(value) else value for value in figures.values.values()]


@pytest.mark.parametrize("grid", [0, 10], ids=["any place and score", "equal places and scores"])
@pytest.mark.parametrize("seed", range(4))
def test_the_twelve_figures_are_those_of_pycocotools_to_the_last_digit(seed, grid):
    found, samples = random_set(seed, unused=(1,), grid=grid)
    assert any(box.crowd for sample in samples for box in sample.boxes)
    assert any(not sample.boxes for sample in samples)
    expected, precision = reference(found, samples, 4)
    figures = coco_figures(found, samples, 4)
    assert list(figures.values) == list(NAMES)
    assert told_values(figures) == pytest.approx(expected.tolist(), rel=0, abs=LAST_DIGIT)
    assert told_values(figures)[6:] == expected[6:].tolist()  # recall, to the last bit
    for label in (0, 2, 3):
        assert figures.average_precision[label] == pytest.approx(precision[:, :, label].mean(), rel=0, abs=LAST_DIGIT)
        assert figures.average_precision50[label] == pytest.approx(precision[0, :, label].mean(), rel=0, abs=LAST_DIGIT)
    assert np.isnan(figures.average_precision[1])  # told, but never there


def test_a_file_with_gaps_in_its_ids_scores_as_pycocotools_scores_it(tmp_path):
    found, samples = random_set(11, images=12, unused=(1,))
    ids = (0, 3, 7, 90)  # of the categories, in order of their classes
    images = [{"id": 5 * i, "file_name": f"{i:02d}.png", "height": 200, "width": 300} for i in range(len(samples))]
    records = [
        {"id": 1000 + 12 * number + i, "image_id": 5 * number, "category_id": ids[box.label], "iscrowd": int(box.crowd),
         "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1],
         "area": box.area or (box.x2 - box.x1) * (box.y2 - box.y1)}
        for number, sample in enumerate(samples) for i, box in enumerate(sample.boxes)
    ]  # fmt: skip
    categories = [{"id": id_, "name": name} for id_, name in zip(ids, "abcd", strict=True)]
    document = {"images": images, "annotations": records, "categories": categories}
    for number in range(len(samples)):
        Image.effect_noise((300, 200), 50 + number).save(tmp_path / f"{number:02d}.png")
    (tmp_path / "instances.json").write_text(json.dumps(document))

    read = read_boxes(tmp_path / "instances.json")
    place = {sample.path.name: number for number, sample in enumerate(samples)}
    order = sorted(read.train + read.val, key=lambda sample: sample.path.name)
    labels = np.array([read.classes.index(name) if name in read.classes else len(read.classes) for name in "abcd"])
    told = [replace(found[number], labels=labels[found[number].labels]) for number in range(len(found))]
    assert [place[f"{int(sample.path.stem)}.jpg"] for sample in order] == list(range(12))
    figures = coco_figures(told, order, len(read.classes) + 1)
    expected, _ = reference(found, samples, 4)
    assert told_values(figures) == pytest.approx(expected.tolist(), rel=0, abs=1e-12)


def test_more_than_a_hundred_boxes_of_an_image_count_as_pycocotools_counts_them():
    found, samples = random_set(7, images=3, classes=2, told=400, most=6)
    assert max(len(each) for each in found) > 200
    expected = reference(found, samples, 2)[0].tolist()
    assert told_values(coco_figures(found, samples, 2)) == pytest.approx(expected, rel=0, abs=LAST_DIGIT)


def test_sizes_without_an_object_are_nan():
    figures = coco_figures([answer((0, 0, 20, 20, 0, 0.9))], [image((0, 0, 20, 20, 0))], 1)
    assert figures.values["map"] == pytest.approx(1)
    assert figures.values["map_small"] == pytest.approx(1)
    assert np.isnan([figures.values[f"{what}_{size}"] for what in ("map", "mar") for size in ("medium", "large")]).all()


def test_an_object_is_as_large_as_the_set_says():
    sample = image((0, 0, 40, 40, 0, False, 200.0))
    figures = coco_figures([answer((0, 0, 40, 40, 0, 0.9))], [sample], 1)
    assert figures.values["map_small"] == pytest.approx(1)
    assert np.isnan(figures.values["map_medium"])


def test_no_box_anywhere_scores_nothing():
    found, samples = [answer(), answer()], [image((0, 0, 50, 50, 0)), image()]
    assert coco_figures(found, samples, 2).values["map"] == 0


def test_nothing_is_printed(capsys):
    coco_figures([answer((0, 0, 20, 20, 0, 0.9))], [image((0, 0, 20, 20, 0))], 1)
    assert capsys.readouterr() == ("", "")


def test_without_the_library_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'triscale\[detect\]'"):
        coco_figures([answer()], [image((0, 0, 20, 20, 0))], 1)
