import json
import math
import shutil
import subprocess
import sys
from xml.etree.ElementTree import tostring

import pytest
from PIL import Image

from tests.boxes import SHAPES, Drawn, drawn_set, write_coco, write_voc, write_yolo
from tests.data.detection.test_read import WRITERS
from triscale.data.detection.check import check_boxes
from triscale.data.detection.read import read_boxes
from triscale.data.detection.voc import parse_xml
from triscale.data.images import image_header
from triscale.errors import DataError

TRAIN, VAL = "annotations/instances_train.json", "annotations/instances_val.json"


class Planting:
    """A clean COCO set in which each fault gets an image of its own."""

    def __init__(self, folder, count=24):
        self.folder = write_coco(folder, drawn_set(count))
        self.train, self.val = (json.loads((folder / name).read_text()) for name in (TRAIN, VAL))
        filled = {each["image_id"] for each in self.train["annotations"]}
        self.free = [each for each in self.train["images"] if each["id"] in filled]

    def image(self):
        """A training image with objects that no other fault is in, and its annotations."""
        image = self.free.pop(0)
        return image, [each for each in self.train["annotations"] if each["image_id"] == image["id"]]

    def add(self, image, **changes):
        """One more annotation of an image; its record."""
        number = max(each["id"] for each in self.train["annotations"]) + 1
        box = {"id": number, "image_id": image["id"], "category_id": 0, "bbox": [70, 20, 30, 30], "iscrowd": 0}
        self.train["annotations"].append({**box, **changes})
        return f"{TRAIN}: annotation {self.train['annotations'][-1]['id']}"

    def file(self, image, split="train"):
        return self.folder / split / image["file_name"]

    def found(self):
        """What is named: (kind, record)."""
        for name, document in ((TRAIN, self.train), (VAL, self.val)):
            (self.folder / name).write_text(json.dumps(document))
        self.report = check_boxes(self.folder)
        return sorted((each.kind, each.record) for each in self.report.findings)


def of_image(image):
    return f"{TRAIN}: image {image['id']}"


def xyxy_in_place_of_xywh(set_):
    for each in set_.val["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x, y, x + width, y + height]
    return "wrong-form", VAL


def outside(set_):
    image, _ = set_.image()
    return "outside", set_.add(image, bbox=[100, 70, 40, 20])


def no_area(set_):
    image, _ = set_.image()
    return "no-area", set_.add(image, bbox=[30, 30, -12, 9])


def normalised(set_):
    image, _ = set_.image()
    return "normalised", set_.add(image, bbox=[0.25, 0.5, 0.125, 0.2])


def unknown_class(set_):
    image, _ = set_.image()
    return "unknown-class", set_.add(image, category_id=1)


def unknown_image(set_):
    return "unknown-image", set_.add({"id": 4711})


def duplicate_image(set_):
    image, boxes = set_.image()
    copy = {**image, "id": 5000, "file_name": "z-copy.png"}
    set_.train["images"].append(copy)
    shutil.copy(set_.file(image), set_.file(copy))
    for each in boxes:
        set_.add(copy, bbox=each["bbox"], category_id=each["category_id"])
    return "duplicate", of_image(copy)


def duplicate_box(set_):
    image, boxes = set_.image()
    x, y, width, height = boxes[0]["bbox"]
    return "duplicate-box", set_.add(image, bbox=[x + 0.5, y, width, height], category_id=boxes[0]["category_id"])


def missing(set_):
    image, _ = set_.image()
    set_.file(image).unlink()
    return "missing", of_image(image)


def broken(set_):
    image, _ = set_.image()
    set_.file(image).write_bytes(set_.file(image).read_bytes()[:2000])
    return "broken", of_image(image)


def no_image(set_):
    image, _ = set_.image()
    set_.file(image).write_text("words")
    return "not-image", of_image(image)


def wrong_size(set_):
    image, _ = set_.image()
    image.update(width=256, height=192)
    return "wrong-size", of_image(image)


def swapped_size(set_):
    image, _ = set_.image()
    image.update(width=96, height=128)
    return "wrong-size", of_image(image)


def unused_class(set_):
    for document in (set_.train, set_.val):
        document["categories"].append({"id": 77, "name": "star", "supercategory": "shape"})
    return "unused-class", f"{TRAIN}: category 77"


def leak(set_):
    image, _ = set_.image()
    shutil.copy(set_.file(image), set_.file({"file_name": "z-leak.png"}, "valid"))
    set_.val["images"].append({**image, "id": 6000, "file_name": "z-leak.png"})
    return "leak", f"{VAL}: image 6000"


def duplicate_image_id(set_):
    image, _ = set_.image()
    set_.train["images"].append({**image, "file_name": "another.png"})
    Image.new("RGB", (128, 96), "teal").save(set_.file({"file_name": "another.png"}))
    return "duplicate-id", of_image(image)


def duplicate_annotation_id(set_):
    image, boxes = set_.image()
    return "duplicate-id", set_.add(image, id=boxes[0]["id"], bbox=[2, 2, 9, 9])


def two_classes_for_one_box(set_):
    image, boxes = set_.image()
    other = (boxes[0]["category_id"] + 3) % 9
    return "contradiction", set_.add(image, bbox=boxes[0]["bbox"], category_id=other)


def the_same_image_with_other_boxes(set_):
    image, _ = set_.image()
    copy = {**image, "id": 5001, "file_name": "z-other.png"}
    set_.train["images"].append(copy)
    shutil.copy(set_.file(image), set_.file(copy))
    return "contradiction", of_image(copy)


def the_same_pixels_with_another_class(set_):
    image, boxes = set_.image()
    x, y, width, height = boxes[0]["bbox"]
    piece = Image.open(set_.file(image)).crop((x, y, x + width, y + height))
    new = {**image, "id": 5002, "file_name": "z-piece.png"}
    set_.train["images"].append(new)
    picture = Image.new("RGB", (128, 96), "olive")
    picture.paste(piece, (3, 4))
    picture.save(set_.file(new))
    other = (boxes[0]["category_id"] + 3) % 9
    return "contradiction", set_.add(new, bbox=[3, 4, width, height], category_id=other)


def names_that_differ_by_case(set_):
    image, _ = set_.image()
    set_.train["categories"].append({"id": 50, "name": " Disc", "supercategory": "shape"})
    set_.add(image, category_id=50)
    return "class-names", f"{TRAIN}: category 50"


def one_class_under_two_ids(set_):
    set_.train["categories"].append({"id": 51, "name": "square", "supercategory": "shape"})
    return "class-names", f"{TRAIN}: category 51"


def a_class_that_only_val_has(set_):
    set_.val["categories"].append({"id": 52, "name": "hexagon", "supercategory": "shape"})
    set_.val["annotations"][0]["category_id"] = 52
    return "class-names", f"{VAL}: category 52"


def tiny(set_):
    image, _ = set_.image()
    return "tiny", set_.add(image, bbox=[70, 20, 1.5, 30])


def not_a_number(set_):
    image, _ = set_.image()
    return "not-a-number", set_.add(image, bbox=[1, math.nan, 10, 10])


def a_word_for_a_number(set_):
    image, _ = set_.image()
    return "not-a-number", set_.add(image, bbox=[1, "2", 10, 10])


def no_box(set_):
    image, _ = set_.image()
    record = set_.add(image)
    del set_.train["annotations"][-1]["bbox"]
    return "bad-record", record


def an_image_listed_twice(set_):
    image, _ = set_.image()
    set_.train["images"].append({**image, "id": 5003})
    return "duplicate", f"{TRAIN}: image 5003"


ALONE = [
    xyxy_in_place_of_xywh, outside, no_area, normalised, unknown_class, unknown_image, duplicate_image, duplicate_box,
    missing, broken, no_image, wrong_size, swapped_size, unused_class, leak, duplicate_image_id,
    duplicate_annotation_id, two_classes_for_one_box, the_same_image_with_other_boxes,
    the_same_pixels_with_another_class, names_that_differ_by_case, one_class_under_two_ids, a_class_that_only_val_has,
    tiny, not_a_number, a_word_for_a_number, no_box, an_image_listed_twice,
]  # fmt: skip


@pytest.mark.parametrize("plant", ALONE)
def test_each_fault_is_named_alone_with_its_record(plant, tmp_path):
    planting = Planting(tmp_path)
    expected = plant(planting)
    assert planting.found() == [expected]
    (finding,) = planting.report.findings
    assert finding.path.is_relative_to(tmp_path)
    assert finding.message


def test_all_of_them_in_one_set_are_named_and_nothing_else(tmp_path):
    planting = Planting(tmp_path, count=60)
    # the one that is of a whole file must not share it with another that changes boxes there
    expected = [plant(planting) for plant in ALONE if plant is not a_class_that_only_val_has]
    assert planting.found() == sorted(expected)
    assert len({kind for kind, _ in expected}) >= 15


@pytest.mark.parametrize("layout", WRITERS)
def test_a_clean_set_has_nothing_wrong(layout, tmp_path):
    report = check_boxes(WRITERS[layout](tmp_path, drawn_set(24)))
    assert report.findings == ()
    assert (report.layout, report.images, report.empty, report.boxes) == (layout, 24, 4, 44)
    assert report.classes == {"disc": 15, "square": 13, "triangle": 16}
    assert report.sizes == {"small": 36, "medium": 8, "large": 0}
    assert report.splits == {"train": 18, "val": 6}
    assert report.notes == (
        "4 of 24 images have no objects; they are learnt as background.",
        "Images from 128 x 96 to 128 x 96 pixels; the median shorter side is 96.",
        "An object's side is 12.6% to 33% of its image's, 21% in the median.",
    )


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (swapped_size, "the record says 96 x 128, train/shape000.png is 128 x 96 (height and width are swapped)"),
        (unknown_class, "category_id 1 is none of the categories (0, 3, 6)"),
        (normalised, "[0.25, 0.5, 0.125, 0.2]: shares of the image? expected pixels of 128 x 96"),
        (missing, "train/shape000.png: no such file; nearby in"),
        (two_classes_for_one_box, "square at the same place as 1, which is disc"),
        (the_same_pixels_with_another_class, f"square, and disc for the same pixels in {TRAIN}: annotation 1"),
        (names_that_differ_by_case, "class ' Disc' beside 'disc': are they one? They are learnt as two"),
    ],
)
def test_messages_say_what_was_found_and_expected(plant, message, tmp_path):
    planting = Planting(tmp_path)
    plant(planting)
    planting.found()
    assert planting.report.findings[0].message.startswith(message)


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_objects_is_named(split, tmp_path):
    drawn = [each for each in drawn_set(24) if each.split != split or not each.boxes]
    report = check_boxes(write_coco(tmp_path, drawn))
    found = {(each.kind, each.record) for each in report.findings}
    assert ("empty-set", f"annotations/instances_{split}.json") in found
    assert {kind for kind, _ in found} == {"empty-set"}


def test_a_file_without_images_is_named(tmp_path):
    drawn = [each for each in drawn_set(24) if each.split == "train"]
    (finding,) = check_boxes(write_coco(tmp_path, drawn)).findings
    assert (finding.kind, finding.record, finding.message) == ("empty-set", VAL, "no images in it")


def test_two_images_of_one_label_file_are_named(tmp_path):
    write_yolo(tmp_path, drawn_set(24))
    drawn_set(24)[2].image.rotate(180).save(tmp_path / "images" / "train" / "shape001.jpg")
    (finding,) = check_boxes(tmp_path).findings
    assert (finding.kind, finding.record) == ("duplicate-id", "labels/train/shape001.txt")
    message = "images/train/shape001.png has the labels of images/train/shape001.jpg; images need names of their own"
    assert finding.message == message


def test_of_images_that_are_the_same_each_is_held_against_the_first_of_its_kind(tmp_path):
    image = drawn_set(1)[0].image
    boxes = {"a": 1, "b": 1, "c": 2, "d": 1, "e": 2}
    set_ = [Drawn(name, image, "train", drawn_set(1)[0].boxes[:1] * count) for name, count in boxes.items()]
    report = check_boxes(write_coco(tmp_path, [*set_, Drawn("f", image, "val", set_[0].boxes)]))
    said = {each.path.stem: each.message for each in report.findings if each.kind != "duplicate-box"}
    assert {name: said.get(name) for name in boxes} == {
        "a": None,
        "b": "the same pixels as train/a.png",
        "c": "the same pixels as train/a.png with other boxes",
        "d": "the same pixels as train/c.png with other boxes",
        "e": "the same pixels as train/a.png with other boxes",
    }
    assert said["f"] == "the same pixels as train/a.png in train"


def rewrite(path, change):
    path.write_text(change(path.read_text()))


class TestYolo:
    @pytest.mark.parametrize(
        ("line", "kind"),
        [
            ("0 64 48 20 20", "pixels"),
            ("0 0.9 0.5 0.4 0.1", "outside"),
            ("0 0.5 0.5 0 0.1", "no-area"),
            ("3 0.5 0.5 0.2 0.2", "unknown-class"),
            ("0.5 0.5 0.5 0.2 0.2", "unknown-class"),
            ("0 0.5 nan 0.2 0.2", "not-a-number"),
            ("disc 0.5 0.5 0.2 0.2", "not-a-number"),
            ("0 0.5 0.5 0.2", "bad-record"),
            ("0 0.5 0.5 0.2 0.2 0.93", "bad-record"),
            ("0 0.5 0.5 0.01 0.2", "tiny"),
        ],
    )
    def test_each_wrong_line_is_named(self, line, kind, tmp_path):
        labels = write_yolo(tmp_path) / "labels" / "train" / "shape000.txt"
        rewrite(labels, lambda text: f"{text}\n{line}\n")
        (finding,) = check_boxes(tmp_path).findings
        assert (finding.kind, finding.record) == (kind, "labels/train/shape000.txt: line 3")

    def test_corners_in_place_of_centres_are_said_once_for_the_folder(self, tmp_path):
        write_yolo(tmp_path, drawn_set(40))
        for each in (tmp_path / "labels" / "train").iterdir():
            rows = [[float(word) for word in line.split()] for line in each.read_text().splitlines()]
            lines = [f"{n:.0f} {x - w / 2} {y - h / 2} {x + w / 2} {y + h / 2}\n" for n, x, y, w, h in rows]
            each.write_text("".join(lines))
        (finding,) = check_boxes(tmp_path).findings
        assert (finding.kind, finding.record) == ("wrong-form", "labels/train")
        assert "and fit when read as x1, y1, x2, y2" in finding.message

    def test_pixels_in_a_whole_folder_are_said_once(self, tmp_path):
        write_yolo(tmp_path, drawn_set(40))
        for each in (tmp_path / "labels" / "valid").iterdir():
            rows = [[float(word) for word in line.split()] for line in each.read_text().splitlines()]
            each.write_text("".join(f"{n:.0f} {x * 128} {y * 96} {w * 128} {h * 96}\n" for n, x, y, w, h in rows))
        (finding,) = check_boxes(tmp_path).findings
        assert (finding.kind, finding.record) == ("pixels", "labels/valid")


class TestVoc:
    @pytest.mark.parametrize(
        ("old", "new", "kind", "where"),
        [
            ("<xmax>31<", "<xmax>140<", "outside", ": object 1"),
            ("<xmax>31<", "<xmax>8<", "no-area", ": object 1"),
            ("<xmax>31<", "<xmax>wide<", "not-a-number", ": object 1"),
            ("<xmax>31</xmax>", "", "bad-record", ": object 1"),
            ("<name>disc<", "<name><", "bad-record", ": object 1"),
            ("<name>disc<", "<name>DISC<", "class-names", ": object 1"),
            ("<width>128</width><height>96<", "<width>96</width><height>128<", "wrong-size", ""),
            ("</annotation>", "", "bad-record", ""),
        ],
    )
    def test_each_wrong_object_is_named(self, old, new, kind, where, tmp_path):
        record = write_voc(tmp_path) / "Annotations" / "shape000.xml"
        rewrite(record, lambda text: text.replace(old, new))
        (finding,) = check_boxes(tmp_path).findings
        assert (finding.kind, finding.record) == (kind, f"Annotations/shape000.xml{where}")


@pytest.mark.parametrize(
    ("written", "named"),
    [
        (lambda x, y, w, h: [x, y, x + w, y + h], "x1, y1, x2, y2"),
        (lambda x, y, w, h: [y, x, y + h, x + w], "y1, x1, y2, x2"),
        (lambda x, y, w, h: [x + w / 2, y + h / 2, w, h], "centre x, centre y, width, height"),
    ],
)
def test_the_form_that_boxes_are_in_is_named(written, named, tmp_path):
    planting = Planting(tmp_path, count=60)
    for each in planting.train["annotations"]:
        each["bbox"] = written(*each["bbox"])
    assert planting.found() == [("wrong-form", TRAIN)]
    assert (
        f"when read as x1, y1, width, height, and fit when read as {named}; first"
        in planting.report.findings[0].message
    )


def test_shares_in_a_whole_file_are_said_once(tmp_path):
    planting = Planting(tmp_path)
    for each in planting.train["annotations"]:
        x, y, width, height = each["bbox"]
        each["bbox"] = [x / 128, y / 96, width / 128, height / 96]
    assert planting.found() == [("normalised", TRAIN)]


def test_width_and_height_in_voc_are_told_from_corners(tmp_path):
    for each in (write_voc(tmp_path, drawn_set(40)) / "Annotations").iterdir():
        tree = parse_xml(each.read_bytes())
        for box in tree.iter("bndbox"):
            for high, low in (("xmax", "xmin"), ("ymax", "ymin")):
                box.find(high).text = str(int(box.findtext(high)) - int(box.findtext(low)) + 1)
        each.write_bytes(tostring(tree))
    (finding,) = check_boxes(tmp_path).findings
    assert (finding.kind, finding.record) == ("wrong-form", "Annotations")
    assert "when read as x1, y1, x2, y2, and fit when read as x1, y1, width, height; first" in finding.message


def test_a_set_of_which_a_third_fits_in_both_forms_is_not_taken_for_the_other(tmp_path):
    """Boxes that fit as x1, y1, width, height stay so, however well they fit otherwise."""
    planting = Planting(tmp_path)
    for each in planting.val["annotations"]:
        each["bbox"] = [4, 4, 20, 20]
    assert {kind for kind, _ in planting.found()} <= {"duplicate-box", "contradiction"}


@pytest.mark.parametrize("plant", [xyxy_in_place_of_xywh, outside, unknown_class, missing, wrong_size, not_a_number])
def test_what_cannot_be_used_is_refused_and_can_be_left_out(plant, tmp_path):
    planting = Planting(tmp_path)
    kind, record = plant(planting)
    planting.found()
    with pytest.raises(DataError, match=f"{kind}: {record}") as error:
        read_boxes(tmp_path)
    assert ("would learn those that fit by chance" in str(error.value)) == (kind == "wrong-form")
    dataset = read_boxes(tmp_path, skip_broken=True)
    assert any(note.startswith("Left out: ") for note in dataset.notes)
    assert dataset.classes == SHAPES


def run(*words):
    return subprocess.run(
        [sys.executable, "-m", "triscale", "data", "check", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_command_names_draws_and_exits_with_one(tmp_path):
    planting = Planting(tmp_path / "set", count=40)
    expected = [outside(planting), missing(planting)]
    planting.found()
    done = run(tmp_path / "set", "--draw", tmp_path / "drawn", "--json")
    assert (done.returncode, done.stderr) == (1, "")
    report = json.loads(done.stdout)
    assert sorted((each["kind"], each["record"]) for each in report["findings"]) == sorted(expected)
    assert (report["ok"], report["counts"]) == (False, {"missing": 1, "outside": 1})
    assert report["drawn"][0] == str(tmp_path / "drawn" / "sheet.jpg")
    assert len(report["drawn"]) == len(list((tmp_path / "drawn").iterdir())) == 25
    assert {image_header(each) for each in report["drawn"][1:]} == {("JPEG", (480, 640))}
