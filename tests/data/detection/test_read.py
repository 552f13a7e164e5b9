import json
import shutil

import pytest
from PIL import Image, ImageOps

from tests.boxes import SHAPES, coco_document, drawn_set, write_coco, write_voc, write_yolo
from triscale.data.detection.dataset import BoxLabel
from triscale.data.detection.find import is_boxes
from triscale.data.detection.read import read_boxes
from triscale.errors import DataError

WRITERS = {"COCO": write_coco, "VOC": write_voc, "YOLO": write_yolo}


def content(dataset):
    """A set without the places of its files and records: sizes, boxes to a hundredth of a pixel, classes, splits."""
    return dataset.classes, [
        [
            (each.path.name, each.size, [(*(round(value, 2) for value in box[:4]), *box[4:6]) for box in each.boxes])
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


class TestClasses:
    def test_ids_may_differ_between_files_as_long_as_names_agree(self, tmp_path):
        drawn = drawn_set()
        expected = content(read_boxes(write_coco(tmp_path / "one", drawn)))
        other = write_coco(tmp_path / "two", drawn)

        def renumber(document):
            ids = {0: 12, 3: 11, 6: 10}
            for each in document["categories"]:
                each["id"] = ids[each["id"]]
            document["categories"].reverse()
            for each in document["annotations"]:
                each["category_id"] = ids[each["category_id"]]

        edit(other / "annotations" / "instances_val.json", renumber)
        assert content(read_boxes(other)) == expected

    def test_the_first_class_of_a_set_that_counts_from_zero_is_a_class(self, tmp_path):
        dataset = read_boxes(write_coco(tmp_path))
        assert sum(box.label == 0 for each in dataset.train for box in each.boxes) == 6

    def test_a_category_that_only_groups_the_others_is_no_class(self, tmp_path):
        def add(document):
            document["categories"].insert(0, {"id": 99, "name": "shape", "supercategory": "none"})

        for name in ("train", "val"):
            edit(write_coco(tmp_path) / "annotations" / f"instances_{name}.json", add)
        dataset = read_boxes(tmp_path)
        assert dataset.classes == SHAPES
        assert dataset.notes[0] == "Category shape only groups the others and has no box: it is no class."

    def test_a_class_that_only_val_has_is_refused_by_name(self, tmp_path):
        def rename(document):
            document["categories"][1]["name"] = "Square"

        edit(write_coco(tmp_path) / "annotations" / "instances_val.json", rename)
        assert (
            "class-names: annotations/instances_val.json: category 3: class 'Square' of val is none of train's; train "
            "calls it 'square'" in refusal(tmp_path)
        )

    def test_val_may_name_fewer_classes(self, tmp_path):
        drawn = [each for each in drawn_set() if each.split == "train" or not each.boxes]
        val = write_coco(tmp_path, drawn) / "annotations" / "instances_val.json"
        edit(val, lambda document: document["categories"].clear())
        assert read_boxes(tmp_path).classes == SHAPES


class TestWhereImagesAre:
    def test_roboflow_puts_one_file_into_each_folder_of_images(self, tmp_path):
        drawn = drawn_set()
        expected = content(read_boxes(write_coco(tmp_path / "one", drawn)))
        write_coco(tmp_path / "two", drawn)
        for name, folder in (("train", "train"), ("val", "valid")):
            source = tmp_path / "two" / "annotations" / f"instances_{name}.json"
            source.rename(tmp_path / "two" / folder / "_annotations.coco.json")
        shutil.rmtree(tmp_path / "two" / "annotations")
        assert content(read_boxes(tmp_path / "two")) == expected

    @pytest.mark.parametrize(
        "prefix",
        ["C:\\Users\\me\\photos\\", "D:/data/train/", "/home/nobody/data/", "train/", ".\\train\\", "../train/"],
    )
    def test_paths_of_another_machine_are_found_by_their_ending(self, prefix, tmp_path):
        drawn = [each for each in drawn_set() if each.split == "train"]
        table = write_coco(tmp_path, drawn) / "annotations" / "instances_train.json"

        def move(document):
            for each in document["images"]:
                each["file_name"] = prefix + each["file_name"]

        edit(table, move)
        dataset = read_boxes(tmp_path, val_share=0)
        assert [each.path for each in dataset.train] == sorted((tmp_path / "train").iterdir())

    def test_an_image_that_is_missing_is_not_replaced_by_one_of_the_same_name_in_another_split(self, tmp_path):
        write_coco(tmp_path)
        (tmp_path / "train" / "shape000.png").rename(tmp_path / "valid" / "shape000.png")
        message = refusal(tmp_path)
        assert f"{tmp_path}: 1 record cannot be used: missing: annotations/instances_train.json: image 100" in message
        dataset = read_boxes(tmp_path, skip_broken=True)
        assert len(dataset.train) == 8
        assert dataset.skipped == (tmp_path / "train" / "shape000.png",)
        assert "Left out: 1 images and 0 boxes of images that stay (1 missing)." in dataset.notes

    def test_names_with_marks_and_in_another_case_are_found(self, tmp_path):
        write_coco(tmp_path)
        (tmp_path / "train" / "shape000.png").rename(tmp_path / "train" / "u\u0308ber.PNG")  # as macOS writes it

        def rename(document):
            document["images"][0]["file_name"] = "\u00fcber.png"

        edit(tmp_path / "annotations" / "instances_train.json", rename)
        assert tmp_path / "train" / "u\u0308ber.PNG" in {each.path for each in read_boxes(tmp_path).train}

    def test_one_file_is_a_set_of_its_own_and_is_split_by_content(self, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_train.json"
        dataset = read_boxes(table, val_share=0.3)
        assert (len(dataset.train) + len(dataset.val), dataset.test) == (9, ())
        assert len(dataset.val) >= 2
        assert "No validation split was given: 30% of the images were set aside by their content." in dataset.notes
        assert read_boxes(table, val_share=0.3) == dataset
        assert read_boxes(table, val_share=0.3, seed=1).val != dataset.val

    def test_copies_stay_together_even_with_other_boxes(self, tmp_path):
        drawn = [each for each in drawn_set(20) if each.split == "train"]
        document = coco_document([*drawn, *drawn])
        for number, each in enumerate(document["images"]):
            each["file_name"] = f"{number:03d}.png"
            drawn[number % len(drawn)].image.save(tmp_path / each["file_name"])
        copies = {each["id"] for each in document["images"][len(drawn) :]}
        document["annotations"] = [
            {**each, "category_id": 0} if each["image_id"] in copies else each for each in document["annotations"]
        ]
        (tmp_path / "all.json").write_text(json.dumps(document))
        dataset = read_boxes(tmp_path, val_share=0.3)
        places = [{int(each.path.stem) % len(drawn) for each in split} for split in (dataset.train, dataset.val)]
        assert places[0] & places[1] == set()
        assert len(places[1]) >= 2


class TestRecords:
    def test_a_byte_order_mark_and_nan_do_not_hide_the_record(self, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_train.json"
        edit(table, lambda document: document["annotations"][2].update(bbox=[1, 2, float("nan"), 4]))
        table.write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
        expected = "not-a-number: annotations/instances_train.json: annotation 3: nan in bbox [1, 2, nan, 4]"
        assert expected in refusal(tmp_path)

    def test_boxes_that_stick_out_by_a_pixel_are_cut_and_others_refused(self, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_train.json"
        edit(table, lambda document: document["annotations"][0].update(bbox=[-1, 62, 30, 35.5], area=None))
        dataset = read_boxes(tmp_path)
        assert dataset.train[0].boxes == (BoxLabel(0, 62, 29, 96, 0),)
        cut = "1 boxes that leave the image by up to 2 pixels were cut, first in train/shape000.png."
        assert cut in dataset.notes
        edit(table, lambda document: document["annotations"][0].update(bbox=[-3, 62, 30, 34]))
        assert "annotation 1: [-3, 62, 30, 34] leaves the image of 128 x 96 by 3 pixels" in refusal(tmp_path)

    def test_crowds_are_read_as_crowds(self, tmp_path):
        table = write_coco(tmp_path / "coco") / "annotations" / "instances_train.json"
        change = {"iscrowd": 1, "segmentation": {"size": [96, 128], "counts": [5, 7]}}
        edit(table, lambda document: document["annotations"][0].update(change))
        assert read_boxes(tmp_path / "coco").train[0].boxes[0].crowd
        record = write_voc(tmp_path / "voc") / "Annotations" / "shape000.xml"
        record.write_text(record.read_text().replace("<difficult>0", "<difficult>1"))
        assert read_boxes(tmp_path / "voc").train[0].boxes[0].crowd

    @pytest.mark.parametrize(
        ("said", "read"),
        [(1234.5, 1234.5), (7, 7.0), (0, None), (-3, None), (None, None), ("12", None), (True, None), (529, None)],
    )
    def test_the_area_of_an_object_is_kept_where_it_is_a_number_other_than_its_box_s(self, said, read, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_train.json"
        edit(table, lambda document: document["annotations"][0].update(area=said))
        assert read_boxes(tmp_path).train[0].boxes[0].area == read

    @pytest.mark.parametrize("turn", [5, 6, 7, 8])
    def test_boxes_of_the_stored_image_are_turned_with_it(self, turn, tmp_path):
        """A white box on black, stored on its side: in the image as shown it is where the box is."""
        stored = Image.new("L", (60, 40))
        stored.paste(255, (10, 5, 30, 35))
        exif = Image.Exif()
        exif[0x0112] = turn
        stored.save(tmp_path / "a.png", exif=exif)
        document = {
            "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 40}],
            "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 30]}],
            "categories": [{"id": 1, "name": "white"}],
        }
        (tmp_path / "all.json").write_text(json.dumps(document))
        dataset = read_boxes(tmp_path, val_share=0)
        (sample,) = dataset.train
        assert sample.size == (60, 40)
        assert sample.boxes[0][:4] == ImageOps.exif_transpose(Image.open(tmp_path / "a.png")).getbbox()
        expected = "1 images are shown turned (EXIF); their boxes were turned with them, first a.png."
        assert expected in dataset.notes

    def test_segments_without_a_box_are_named(self, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_val.json"
        edit(table, lambda document: document["annotations"][0].pop("bbox"))
        assert "bad-record: annotations/instances_val.json: annotation 1: no bbox; expected" in refusal(tmp_path)


class TestVoc:
    def test_a_zero_says_that_pixels_are_counted_from_zero(self, tmp_path):
        record = write_voc(tmp_path) / "Annotations" / "shape000.xml"
        record.write_text(record.read_text().replace("<xmin>9<", "<xmin>0<"))
        dataset = read_boxes(tmp_path)
        assert dataset.train[0].boxes[0][:4] == (0, 63, 31, 85)
        assert (
            "Pixels are counted from 0, as in Annotations/shape000.xml, not from 1 as in Pascal VOC." in dataset.notes
        )

    def test_xml_beside_images_with_stale_names_inside(self, tmp_path):
        drawn = drawn_set()
        expected = content(read_boxes(write_voc(tmp_path / "one", drawn)))
        for each in drawn:
            folder = tmp_path / "two" / each.split
            folder.mkdir(parents=True, exist_ok=True)
            each.image.save(folder / f"{each.name}.png")
            text = (tmp_path / "one" / "Annotations" / f"{each.name}.xml").read_text()
            text = text.replace(f"<filename>{each.name}", "<filename>C:\\old\\img")
            (folder / f"{each.name}.xml").write_text(text, encoding="utf-8-sig")
        assert content(read_boxes(tmp_path / "two")) == expected

    def test_entities_are_never_expanded(self, tmp_path):
        record = write_voc(tmp_path) / "Annotations" / "shape000.xml"
        laughs = "".join(f'<!ENTITY a{n} "{f"&a{n - 1};" * 10 if n else "ha" * 10}">' for n in range(9))
        record.write_text(f"<!DOCTYPE annotation [{laughs}]><annotation><filename>&a8;</filename></annotation>")
        expected = "bad-record: Annotations/shape000.xml: not readable as XML (it declares a document type (annotation)"
        assert expected in refusal(tmp_path)

    def test_a_name_in_a_list_without_xml_is_named(self, tmp_path):
        (write_voc(tmp_path) / "Annotations" / "shape001.xml").unlink()
        expected = "missing: Annotations/shape001.xml: no such file; ImageSets/Main/train.txt lists it"
        assert expected in refusal(tmp_path)


class TestYolo:
    @pytest.mark.parametrize(
        "text",
        [
            "train: ../train/images\nval: ../valid/images\nnc: 3\nnames: ['disc', 'square', 'triangle']\n",
            "names:\n- disc\n- 'square'  # a comment\n- \"triangle\"\ntrain: train/images\nval: valid/images\n",
            "names: {0: disc, 2: triangle,\n  1: square}\ntrain: [train/images]\nvalid: valid/images\ntest:\n",
            "path: C:\\old\\place\nnames: [disc, square,\n        triangle]\ntrain: train\\images\nval: valid\\images\n"
            "roboflow:\n  url: https://example.org\ndownload: |\n  # code\n  import os\n",
        ],
        ids=["Roboflow", "list", "mapping", "Windows"],
    )
    def test_data_files_as_tools_write_them(self, text, tmp_path):
        drawn = drawn_set()
        expected = content(read_boxes(write_yolo(tmp_path / "one", drawn)))
        for split in ("train", "valid"):
            for kind in ("images", "labels"):
                shutil.copytree(tmp_path / "one" / kind / split, tmp_path / "two" / split / kind)
        (tmp_path / "two" / "data.yaml").write_text(text)
        assert content(read_boxes(tmp_path / "two")) == expected
        assert content(read_boxes(tmp_path / "two" / "data.yaml")) == expected

    def test_labels_beside_images_with_classes_txt(self, tmp_path):
        drawn = drawn_set()
        write_yolo(tmp_path / "one", drawn)
        (tmp_path / "two").mkdir()
        for file in (tmp_path / "one").rglob("shape*"):
            shutil.copy(file, tmp_path / "two")
        (tmp_path / "two" / "classes.txt").write_text("disc\nsquare\ntriangle\n")
        dataset = read_boxes(tmp_path / "two", val_share=0)
        boxes = {(*map(round, box[:4]), dataset.classes[box.label]) for each in dataset.train for box in each.boxes}
        assert boxes == {box for each in drawn for box in each.boxes}
        assert len(dataset.train) == 12

    def test_an_outline_is_read_as_the_box_around_it(self, tmp_path):
        write_yolo(tmp_path)
        (tmp_path / "labels" / "train" / "shape000.txt").write_text("1 0.25 0.5 0.5 0.75 0.75 0.25\n")
        dataset = read_boxes(tmp_path)
        assert dataset.train[0].boxes == (BoxLabel(32, 24, 96, 72, 1),)
        assert "1 outlines were read as the boxes around them." in dataset.notes

    def test_labels_without_an_image_are_named(self, tmp_path):
        (write_yolo(tmp_path) / "images" / "train" / "shape000.png").unlink()
        assert "missing: labels/train/shape000.txt: no image belongs to these labels" in refusal(tmp_path)


class TestWholeSets:
    def test_xyxy_in_place_of_xywh_is_said_once_for_the_file(self, tmp_path):
        def swap(document):
            for each in document["annotations"]:
                x, y, width, height = each["bbox"]
                each["bbox"] = [x, y, x + width, y + height]

        table = write_coco(tmp_path, drawn_set(40)) / "annotations" / "instances_train.json"
        edit(table, swap)
        assert refusal(tmp_path).startswith(f"{tmp_path}: 1 record cannot be used: wrong-form: ")
        assert "read as x1, y1, width, height, and fit when read as x1, y1, x2, y2; first" in refusal(tmp_path)

    @pytest.mark.parametrize(
        ("files", "expected"),
        [
            ({}, "no boxes found in this folder; expected COCO JSON"),
            ({"a.json": '{"images": [], "annotations": [], "categories": []}'}, "COCO records without any image"),
            ({"a.json": '{"images": [1], "annotations": []}'}, "a.json: not COCO JSON (Expected `object`, got `int`"),
            (
                {"a.json": '{"annotations": [], "images": [{"id": 1} {"id": 2}]}'},
                "a.json: not COCO JSON (Expecting ',' delimiter: line 1",
            ),
            ({"data.yaml": "names: [a, b]\ntrain: here\n"}, "data.yaml: train: here: no such folder or list below"),
            ({"data.yaml": "names: [a, b]\nnc: 3\ntrain: here\n"}, "data.yaml: nc is 3, but there are 2 names"),
            ({"data.yaml": "names: *anchor\ntrain: here\n"}, "data.yaml: '*anchor' is more of YAML than is read here"),
            ({"data.yaml": "names: [a, b\ntrain: here\n"}, "data.yaml: a bracket that opens before"),
            ({"a.xml": "<annotation><filename>a.jpg</filename></annotation>"}, "missing: a.xml: a.jpg: no such file"),
        ],
    )
    def test_what_is_no_set_is_refused_in_one_line(self, files, expected, tmp_path):
        for name, text in files.items():
            (tmp_path / name).write_text(text)
        message = refusal(tmp_path)
        assert expected in message
        assert "\n" not in message

    def test_a_set_without_any_box_is_refused(self, tmp_path):
        drawn = [each for each in drawn_set(20) if not each.boxes]
        assert "4 images without any box; there is nothing to learn from" in refusal(write_coco(tmp_path, drawn))

    def test_the_fingerprint_changes_with_a_box(self, tmp_path):
        table = write_coco(tmp_path) / "annotations" / "instances_train.json"
        before = read_boxes(tmp_path).fingerprint
        assert read_boxes(tmp_path).fingerprint == before
        edit(table, lambda document: document["annotations"][0].update(bbox=[8, 62, 23, 22]))
        assert read_boxes(tmp_path).fingerprint != before
