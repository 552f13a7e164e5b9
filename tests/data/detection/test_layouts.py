"""Folders as public sets and labelling tools lay them out."""

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from tests.boxes import coco_document, drawn_set, voc_document, write_coco, write_voc, write_yolo
from tests.data.detection.test_read import content, refusal
from triscale.cli.main import main
from triscale.data.detection.check import check_boxes
from triscale.data.detection.find import find_boxes, is_boxes
from triscale.data.detection.read import read_boxes


@pytest.fixture
def drawn():
    return drawn_set()


def test_the_layout_of_coco_itself_with_its_other_tasks(drawn, tmp_path):
    expected = content(read_boxes(write_coco(tmp_path / "plain", drawn)))
    coco = tmp_path / "coco"
    (coco / "annotations").mkdir(parents=True)
    for split in ("train", "val"):
        own = [each for each in drawn if each.split == split]
        shutil.copytree(tmp_path / "plain" / {"train": "train", "val": "valid"}[split], coco / f"{split}2017")
        document = coco_document(own)
        (coco / "annotations" / f"instances_{split}2017.json").write_text(json.dumps(document))
        captions = {**document, "annotations": [{"id": 1, "image_id": 100, "caption": "shapes"}]}
        (coco / "annotations" / f"captions_{split}2017.json").write_text(json.dumps(captions))
    assert content(read_boxes(coco)) == expected
    assert content(read_boxes(coco / "annotations" / "instances_val2017.json", val_share=0))[1][0] == expected[1][1]


@pytest.mark.parametrize(("train", "val"), [("train.json", "val.json"), ("Training.json", "test_validation.json")])
def test_files_beside_one_folder_of_images(train, val, drawn, tmp_path):
    for split, name in (("train", train), ("val", val)):
        own = [each for each in drawn if each.split == split]
        (tmp_path / name).write_text(json.dumps(coco_document(own)))
    (tmp_path / "images").mkdir()
    for each in drawn:
        each.image.save(tmp_path / "images" / f"{each.name}.png")
    listing = find_boxes(tmp_path)
    # a name that speaks of two splits is of none
    assert {each.split for each in listing.images} == ({"train", "val"} if val == "val.json" else {"train", None})
    assert all(each.path.is_file() for each in listing.images)


def test_the_same_names_in_two_splits_are_two_images(drawn, tmp_path):
    """train/001.png and valid/001.png, as video frames come: neither is taken for the other."""
    for split, folder in (("train", "train"), ("val", "valid")):
        own = [each for each in drawn if each.split == split][:3]
        document = coco_document(own)
        (tmp_path / folder).mkdir()
        for number, (each, image) in enumerate(zip(own, document["images"], strict=True)):
            image["file_name"] = f"{number:03d}.png"
            each.image.save(tmp_path / folder / image["file_name"])
        (tmp_path / f"{split}.json").write_text(json.dumps(document))
    dataset = read_boxes(tmp_path)
    assert [each.path.relative_to(tmp_path).as_posix() for each in dataset.val] == [
        "valid/000.png",
        "valid/001.png",
        "valid/002.png",
    ]
    assert len(dataset.train) == 3


def test_images_that_are_missing_are_not_taken_from_another_split(drawn, tmp_path):
    train = [each for each in drawn if each.split == "train"][:3]
    write_coco(tmp_path, [*train, *(replace(each, split="val") for each in train)])
    shutil.rmtree(tmp_path / "valid")
    expected = "1 record cannot be used: missing: annotations/instances_val.json: none of its 3 images is there"
    assert expected in refusal(tmp_path)


def test_several_years_of_voc_whose_names_agree(drawn, tmp_path):
    for year, own in (("VOC2007", drawn[:4]), ("VOC2012", drawn[4:8])):
        write_voc(tmp_path / year, own)
        for number, each in enumerate(own):
            for kind, suffix in (("Annotations", "xml"), ("JPEGImages", "png")):
                place = tmp_path / year / kind
                (place / f"{each.name}.{suffix}").rename(place / f"{number:06d}.{suffix}")
        (tmp_path / year / "ImageSets" / "Main" / "train.txt").write_text("000000\n000001\n000002\n")
        (tmp_path / year / "ImageSets" / "Main" / "val.txt").write_text(
            "000003  1\n"
        )  # as the lists of a class have it
        (tmp_path / year / "ImageSets" / "Main" / "disc_train.txt").write_text("000003 -1\n")
    dataset = read_boxes(tmp_path)
    assert (len(dataset.train), len(dataset.val)) == (6, 2)
    for sample in dataset.train:
        assert sample.path.parts[-3] == sample.record.split("/")[0]


def test_voc_files_in_folders_by_split(drawn, tmp_path):
    expected = content(read_boxes(write_voc(tmp_path / "plain", drawn)))
    for each in drawn:
        for kind in ("images", "annotations"):
            (tmp_path / "set" / kind / each.split).mkdir(parents=True, exist_ok=True)
        each.image.save(tmp_path / "set" / "images" / each.split / f"{each.name}.png")
        (tmp_path / "set" / "annotations" / each.split / f"{each.name}.xml").write_text(voc_document(each))
    assert content(read_boxes(tmp_path / "set")) == expected


def test_a_trainval_list_is_for_training(drawn, tmp_path):
    lists = write_voc(tmp_path, drawn) / "ImageSets" / "Main"
    (lists / "train.txt").rename(lists / "trainval.txt")
    (lists / "val.txt").rename(lists / "test.txt")
    dataset = read_boxes(tmp_path, val_share=0.3)
    assert (len(dataset.train) + len(dataset.val), len(dataset.test)) == (9, 3)
    assert len(dataset.val) >= 1


def test_names_in_lists_may_have_spaces_and_a_number_behind(drawn, tmp_path):
    write_voc(tmp_path, [replace(each, name=f"my {each.name}") for each in drawn])
    lists = tmp_path / "ImageSets" / "Main"
    (lists / "val.txt").write_text("".join(f"{name}  1\n" for name in (lists / "val.txt").read_text().splitlines()))
    dataset = read_boxes(tmp_path)
    assert [each.path.stem for each in dataset.val] == ["my shape003", "my shape007", "my shape011"]
    assert len(dataset.train) == 9


def test_darknet_lists_images_in_a_file(drawn, tmp_path):
    expected = content(read_boxes(write_yolo(tmp_path / "plain", drawn)))
    data = tmp_path / "darknet" / "data"
    data.mkdir(parents=True)
    for split, folder in (("train", "train"), ("valid", "valid")):
        for file in (
            *(tmp_path / "plain").glob(f"images/{folder}/*"),
            *(tmp_path / "plain").glob(f"labels/{folder}/*"),
        ):
            shutil.copy(file, data)
        names = sorted(each.name for each in (tmp_path / "plain" / "images" / folder).iterdir())
        (tmp_path / "darknet" / f"{split}.txt").write_text("".join(f"build/data/{name}\n" for name in names))
    text = "train: train.txt\nval: valid.txt\nnames: [disc, square, triangle]\n"
    (tmp_path / "darknet" / "shapes.yaml").write_text(text)
    assert content(read_boxes(tmp_path / "darknet")) == expected
    (tmp_path / "darknet" / "shapes.yaml").unlink()
    (data / "obj.names").write_text("disc\nsquare\ntriangle\n")
    assert content(read_boxes(tmp_path / "darknet")) == expected
    (data / "shape002.png").unlink()
    expected = "missing: train.txt: line 3: build/data/shape002.png: no such file"
    assert expected in refusal(tmp_path / "darknet")


def test_of_two_kinds_of_records_one_is_read_and_that_is_said(drawn, tmp_path):
    write_coco(tmp_path, drawn)
    shutil.copytree(write_yolo(tmp_path / "other", drawn) / "labels", tmp_path / "labels")
    shutil.rmtree(tmp_path / "other")
    note = "Boxes are read from COCO's files; YOLO's labels in the same folder are not looked at."
    assert note in read_boxes(tmp_path).notes


def test_a_split_without_objects_needs_no_folder_of_labels(drawn, tmp_path):
    own = [each for each in drawn if each.split == "train" or not each.boxes]
    write_yolo(tmp_path, [*own, *(replace(each, split="val", boxes=(), name="extra") for each in drawn[4:5])])
    (tmp_path / "data.yaml").rename(tmp_path / "notes.md")
    (tmp_path / "classes.txt").write_text("disc\nsquare\ntriangle\n")
    shutil.rmtree(tmp_path / "labels" / "valid")
    assert [each.path.name for each in read_boxes(tmp_path).val] == ["extra.png"]


def test_a_class_that_only_val_has_is_named_in_voc_too(drawn, tmp_path):
    record = write_voc(tmp_path, drawn) / "Annotations" / "shape003.xml"
    record.write_text(record.read_text().replace("<name>disc", "<name>ring", 1))
    expected = (
        "class-names: Annotations/shape003.xml: object 1: class 'ring' of val is none of train's; train has disc,"
    )
    assert expected in refusal(tmp_path)


def test_key_points_behind_a_box_are_no_outline(drawn, tmp_path):
    expected = content(read_boxes(write_yolo(tmp_path, drawn)))
    for file in (tmp_path / "labels").rglob("*.txt"):
        file.write_text("".join(f"{line} 0.1 0.1 0.9 0.2 0.3 0.9\n" for line in file.read_text().splitlines()))
    assert content(read_boxes(tmp_path)) != expected
    with (tmp_path / "data.yaml").open("a") as data:
        data.write("kpt_shape: [3, 2]\n")
    assert content(read_boxes(tmp_path)) == expected


def test_two_data_files_are_refused(drawn, tmp_path):
    write_yolo(tmp_path, drawn)
    shutil.copy(tmp_path / "data.yaml", tmp_path / "small.yaml")
    assert "several data files (data.yaml, small.yaml); give the one that is meant" in refusal(tmp_path)
    assert len(read_boxes(tmp_path / "small.yaml").train) == 9


def test_a_test_split_that_nobody_has_does_not_matter_but_one_for_training_does(drawn, tmp_path):
    data = write_yolo(tmp_path, drawn) / "data.yaml"
    text = data.read_text()
    data.write_text(text + "test: images/test\n")
    assert read_boxes(tmp_path).test == ()
    data.write_text(text.replace("images/train", "images/trian"))
    assert "data.yaml: train: images/trian: no such folder or list below" in refusal(tmp_path)


@pytest.mark.parametrize("write", [write_coco, write_voc])
def test_records_without_their_images_are_said_once(write, drawn, tmp_path):
    folder = write(tmp_path / "set", drawn)
    for each in folder.rglob("*.png"):
        each.unlink()
    assert "of its 9 images is there" in refusal(folder) or "of its 12 images is there" in refusal(folder)
    findings = [each for each in check_boxes(folder).findings if each.kind == "missing"]
    assert len(findings) == (2 if write is write_coco else 1)


def test_a_name_that_two_folders_have_is_not_guessed(drawn, tmp_path):
    document = coco_document(drawn[:3])
    (tmp_path / "all.json").write_text(json.dumps(document))
    for folder in ("day", "night"):
        (tmp_path / folder).mkdir()
        for each in drawn[:3]:
            each.image.save(tmp_path / folder / f"{each.name}.png")
    message = "none of its 3 images is there, first shape000.png: no such file; files of that name are in"
    assert f"missing: all.json: {message} {tmp_path / 'day'}, {tmp_path / 'night'}." in refusal(tmp_path / "all.json")


def test_a_folder_of_classes_stays_one_whatever_lies_beside_its_images(tmp_path):
    for name in ("train", "val"):
        for label in ("cat", "dog"):
            (tmp_path / name / label).mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(tmp_path / name / label / "1.jpg")
    (tmp_path / "classes.txt").write_text("cat\ndog\n")
    (tmp_path / "train" / "cat" / "1.txt").write_text("a cat on a mat, seen from above")
    (tmp_path / "package.json").write_text('{"name": "images", "files": ["annotations"]}')
    (tmp_path / "config.yaml").write_text("names: [cat, dog]\nlr: 0.1\n")
    assert not is_boxes(tmp_path)


def test_shards_are_not_made_of_boxes(drawn, tmp_path, capsys):
    write_yolo(tmp_path / "set", drawn)
    assert main(["data", "pack", str(tmp_path / "set"), str(tmp_path / "out")]) == 2
    assert "a set with boxes; shards hold images with classes only" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
