import json

import pytest
from PIL import Image

from tests.boxes import SHAPES, drawn_set, write_coco, write_voc, write_yolo
from triscale.data.detection.dataset import BoxLabel
from triscale.data.detection.find import is_boxes
from triscale.data.detection.read import read_boxes
from triscale.errors import DataError

WRITERS = {"COCO": write_coco, "VOC": write_voc, "YOLO": write_yolo}


def content(dataset):
    """A set without the places of its files and records: sizes, boxes to a hundredth of a pixel, classes, splits."""
    return dataset.classes, [
        [
            (each.path.name, each.size, [(*(round(value, 2) for value in box[:4]), *box[4:]) for box in each.boxes])
            for each in split
        ]
        for split in (dataset.train, dataset.val, dataset.test)
    ]


def refusal(path, **options):
    with pytest.raises(DataError) as error:
        read_boxes(path, **options)
    return str(error.value)


def edit(path, change):
    """Change a JSON file in place."""
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("layout", WRITERS)
def test_what_was_drawn_is_what_is_read(layout, tmp_path):
    drawn = drawn_set()
    dataset = read_boxes(WRITERS[layout](tmp_path, drawn))
    expected = [
        [
            (f"{each.name}.png", (96, 128), [(*map(float, box[:4]), SHAPES.index(box[4]), False) for box in each.boxes])
            for each in drawn
            if each.split == split
        ]
        for split in ("train", "val", "test")
    ]
    assert content(dataset) == (("disc", "square", "triangle"), expected)
    assert dataset.notes == ("2 of 12 images have no objects; they are learnt as background.",)
    assert dataset.train[0].boxes[0] == pytest.approx(BoxLabel(8.0, 62.0, 31.0, 85.0, 0), abs=1e-5)


@pytest.mark.parametrize("layout", WRITERS)
def test_sets_with_boxes_are_told_from_folders_of_classes(layout, tmp_path):
    assert is_boxes(WRITERS[layout](tmp_path / "set"))
    for name in ("cat", "labels", "annotations"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (9, 9)).save(tmp_path / "photos" / name / "1.png")
    (tmp_path / "photos" / "labels" / "notes.txt").write_text("five words, but no numbers")
    (tmp_path / "photos" / "result.json").write_text('{"images": 3, "accuracy": 0.5}')
    (tmp_path / "photos" / "site.xml").write_text("<html/>")
    assert not is_boxes(tmp_path / "photos")
    assert not is_boxes(tmp_path / "nothing")
