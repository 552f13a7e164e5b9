"""Whatever stands in a file of records: one of our own errors, or a set whose boxes lie in their images."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from tests.boxes import drawn_set, write_coco, write_voc, write_yolo
from tests.data.detection.test_read import refusal
from triscale.cli.main import main
from triscale.data.detection import coco, voc, yolo
from triscale.data.detection.check import check_boxes
from triscale.data.detection.data_yaml import read_data_yaml
from triscale.data.detection.find import find_boxes, is_boxes
from triscale.data.detection.pictures import draw_report
from triscale.data.detection.read import read_boxes
from triscale.data.detection.voc import parse_xml
from triscale.errors import DataError, FileError, TriscaleError

AGAIN = settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

NUMBERS = st.one_of(
    st.integers(-5, 60), st.floats(-5, 60), st.just(float("nan")), st.just(float("inf")), st.just(10**400)
)
ANYTHING = st.one_of(NUMBERS, st.none(), st.booleans(), st.text(max_size=5), st.lists(NUMBERS, max_size=5), st.just({}))
WORDS = ["names", "train", ":", " ", "\n", "- ", "[", "]", "{", "}", "'", '"', ",", "#", "0", "a", "&", "nc"]
FIELDS = [
    *[("images", 0, name) for name in ("id", "file_name", "width", "height")],
    *[("annotations", 0, name) for name in ("id", "image_id", "category_id", "bbox", "iscrowd", "area")],
    *[("categories", 0, name) for name in ("id", "name", "supercategory")],
]
NAMES = st.sampled_from(["b.png", "../a.png", "/a.png", "C:\\a.png", "", "\0", "a\n/b", "x" * 400])
BOXES = st.lists(NUMBERS, min_size=4, max_size=4)
CHANGES = st.lists(st.tuples(st.sampled_from(FIELDS), st.one_of(ANYTHING, BOXES, NAMES)), min_size=1, max_size=3)


def sound_document():
    box = {"image_id": 0, "category_id": 1, "bbox": [3, 4, 20, 10], "iscrowd": 0, "area": 150}
    return {
        "images": [
            {"id": n, "file_name": name, "width": None, "height": None} for n, name in enumerate(("a.png", "b.png"))
        ],
        "annotations": [{"id": 1, **box}, {"id": 2, **box, "image_id": 1}, {"id": 3, **box, "bbox": [8, 8, 8, 8]}],
        "categories": [{"id": n, "name": f"class {n}", "supercategory": "thing"} for n in (1, 2)],
    }


def is_sound(dataset):
    """Every box has an area inside of its image, and every label a class."""
    for sample in (*dataset.train, *dataset.val, *dataset.test):
        height, width = sample.size
        for box in sample.boxes:
            assert 0 <= box.x1 < box.x2 <= width
            assert 0 <= box.y1 < box.y2 <= height
            assert 0 <= box.label < len(dataset.classes)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("hostile")
    Image.new("RGB", (48, 32), "teal").save(place / "a.png")
    Image.new("RGB", (32, 48), "olive").save(place / "b.png")
    return place


@AGAIN
@given(changes=CHANGES)
def test_any_coco_file_is_read_or_refused(changes, folder):
    document = sound_document()
    for (name, place, field), value in changes:
        document[name][place][field] = value
    (folder / "all.json").write_text(json.dumps(document))
    try:
        report = check_boxes(folder / "all.json")
        assert all(each.record and each.message and "\n" not in each.message for each in report.findings)
        is_sound(read_boxes(folder / "all.json", skip_broken=True))
    except TriscaleError as error:
        assert "\n" not in str(error)


HUGE = 10**400


@pytest.mark.parametrize(
    ("name", "field", "value", "kind"),
    [
        ("annotations", "bbox", [1, HUGE, 2, 3], "not-a-number"),
        ("annotations", "bbox", [1e308, 1, 1e308, 3], "not-a-number"),
        ("annotations", "bbox", [True, 1, 2, 3], "not-a-number"),
        ("annotations", "bbox", [[1], 1, 2, 3], "not-a-number"),
        ("annotations", "bbox", {"x": 1}, "bad-record"),
        ("annotations", "category_id", [1], "bad-record"),
        ("annotations", "category_id", HUGE, "unknown-class"),
        ("annotations", "image_id", "0", "unknown-image"),
        ("annotations", "area", HUGE, None),
        ("annotations", "area", float("nan"), None),
        ("annotations", "iscrowd", [1], None),
        ("images", "width", HUGE, "wrong-size"),
        ("images", "file_name", "x" * 5000, "missing"),
        ("images", "file_name", "a\0.png", "missing"),
        ("categories", "supercategory", [], None),
        ("images", "id", "\n", "unknown-image"),
    ],
)
def test_values_that_no_program_expects(name, field, value, kind, folder):
    document = sound_document()
    document[name][0][field] = value
    (folder / "all.json").write_text(json.dumps(document))
    report = check_boxes(folder / "all.json")
    found = {each.kind for each in report.findings} - {"unused-class"}
    assert found == ({kind} if kind else set())
    assert not any("\n" in each.said() for each in report.findings)
    assert all(len(each.said()) < 400 for each in report.findings if kind != "missing")


def test_ids_and_names_of_several_lines_are_told_in_one(folder):
    document = sound_document()
    document["images"].append({"id": 1, "file_name": "a\nb.png"})
    document["categories"].append({"id": "\n", "name": "class 1"})
    document["annotations"].append({"id": 9, "image_id": 0, "category_id": 7, "bbox": [1, 1, 9, 9]})
    (folder / "all.json").write_text(json.dumps(document))
    found = {each.kind: each.message for each in check_boxes(folder / "all.json").findings}
    assert found["duplicate-id"].startswith(r"'a\nb.png' has the id of 'b.png'")
    assert found["unknown-class"] == r"category_id 7 is none of the categories (1, 2, '\n')"
    assert found["class-names"].startswith(r"class 'class 1' has the ids 1 and '\n'")


def test_a_number_and_a_word_that_look_alike_are_two_ids(folder):
    document = sound_document()
    document["annotations"].append({"id": "1", "image_id": 0, "category_id": 1, "bbox": [900, 4, 20, 10]})
    (folder / "all.json").write_text(json.dumps(document))
    report = check_boxes(folder / "all.json")
    assert [(each.kind, each.record) for each in report.findings if each.kind != "unused-class"] == [
        ("outside", "all.json: annotation 1")
    ]
    assert report.boxes == 3


@pytest.mark.parametrize("line", ["1e300 0.5 0.5 0.1 0.1", "99999999 0.5 0.5 0.1 0.1", "-1 0.5 0.5 0.1 0.1"])
def test_no_class_number_fills_the_memory(line, tmp_path):
    write_yolo(tmp_path)
    (tmp_path / "data.yaml").unlink()
    (tmp_path / "labels" / "train" / "shape000.txt").write_text(line)
    assert f"unknown-class: labels/train/shape000.txt: line 1: class {line.split()[0]}; expected" in refusal(tmp_path)


@AGAIN
@given(text=st.text(alphabet="0123456789. -naife\t\n", max_size=80))
def test_any_label_file_is_read_or_refused(text, folder):
    (folder / "a.txt").write_text(text)
    (folder / "classes.txt").write_text("one\ntwo\n")
    (folder / "all.json").unlink(missing_ok=True)
    try:
        is_sound(read_boxes(folder, skip_broken=True))
    except TriscaleError as error:
        assert "\n" not in str(error)


@AGAIN
@given(text=st.lists(st.sampled_from(WORDS), max_size=30).map("".join))
def test_any_data_file_is_read_or_refused(text, tmp_path):
    (tmp_path / "data.yaml").write_text(text)
    try:
        assert all(read_data_yaml(tmp_path / "data.yaml").names)
    except TriscaleError as error:
        assert "\n" not in str(error)


@pytest.mark.parametrize("count", ["²", "9" * 5000])
def test_a_count_of_classes_that_is_none_is_no_reason_to_fall_over(count, tmp_path):
    (tmp_path / "data.yaml").write_text(f"train: images\nnc: {count}\nnames: [a, b]\n")
    if count.isascii():
        with pytest.raises(DataError, match="but there are 2 names"):
            read_data_yaml(tmp_path / "data.yaml")
    else:
        assert read_data_yaml(tmp_path / "data.yaml").names == ("a", "b")


@pytest.mark.parametrize("line", ["9" * 5000 + ": a", "1:", "-1: a", "one"])
def test_a_class_without_a_number_beside_numbered_ones_is_named(line, tmp_path):
    (tmp_path / "data.yaml").write_text(f"train: images\nnames:\n  0: b\n  {line}\n")
    with pytest.raises(DataError, match=f"names: '{line[:40]}' beside numbered ones; expected 0: cat"):
        read_data_yaml(tmp_path / "data.yaml")


@pytest.mark.parametrize(
    "data",
    [
        b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        b'<!DOCTYPE a SYSTEM "http://127.0.0.1/a.dtd"><a/>',
        b"<a>&b;</a>",
        b"",
        b"<a>",
        b"\xff\xfe\x00",
        b'<?xml version="1.0" encoding="nothing"?><a/>',
    ],
)
def test_no_xml_declares_or_fetches_anything(data, tmp_path):
    record = write_voc(tmp_path, drawn_set(4)) / "Annotations" / "shape000.xml"
    record.write_bytes(data)
    (finding,) = check_boxes(tmp_path).findings
    assert (finding.kind, finding.record) == ("bad-record", "Annotations/shape000.xml")


def test_xml_in_utf_16_is_read(tmp_path):
    record = write_voc(tmp_path, drawn_set(4)) / "Annotations" / "shape000.xml"
    record.write_bytes(f'<?xml version="1.0" encoding="utf-16"?>{record.read_text()}'.encode("utf-16"))
    assert check_boxes(tmp_path).ok
    assert parse_xml(record.read_bytes()).findtext("filename") == "shape000.png"


@pytest.mark.parametrize(
    ("module", "write", "name"),
    [
        (coco, write_coco, "annotations/instances_train.json"),
        (voc, write_voc, "Annotations/shape000.xml"),
        (yolo, write_yolo, "labels/train/shape000.txt"),
    ],
)
def test_files_that_are_too_large_are_not_read(module, write, name, tmp_path, monkeypatch):
    file = write(tmp_path, drawn_set(4)) / name
    monkeypatch.setattr(module, "MOST_BYTES", 20)
    with pytest.raises(
        DataError, match=rf"{file.name}: .*{file.stat().st_size:,} bytes; .* of more than 20 are not read"
    ):
        read_boxes(tmp_path)


def test_a_deeply_nested_file_is_refused(tmp_path):
    (tmp_path / "deep.json").write_text('{"images": [' + "[" * 100_000)
    with pytest.raises(DataError, match=r"deep\.json: not COCO JSON"):
        read_boxes(tmp_path / "deep.json")


def test_a_link_to_a_folder_above_is_not_followed_for_ever(tmp_path):
    write_coco(tmp_path, drawn_set(4))
    (tmp_path / "train" / "again").symlink_to(tmp_path)
    assert is_boxes(tmp_path)
    assert len(find_boxes(tmp_path).images) == 4


@pytest.mark.parametrize("name", ["set.json", "data.yaml", "a.xml", "labels.txt"])
def test_a_pipe_among_the_records_is_not_waited_for(name, tmp_path):
    write_voc(tmp_path, drawn_set(4))
    os.mkfifo(tmp_path / name)
    os.mkfifo(tmp_path / "Annotations" / name)
    assert len(find_boxes(tmp_path).images) == 4


def test_names_that_are_not_utf_8_are_used_and_can_be_printed(tmp_path):
    write_yolo(tmp_path)
    odd = os.fsdecode(b"caf\xe9")
    for kind, suffix in (("images", "png"), ("labels", "txt")):
        (tmp_path / kind / "train" / f"shape000.{suffix}").rename(tmp_path / kind / "train" / f"{odd}.{suffix}")
    (tmp_path / "labels" / "train" / f"{odd}.txt").write_text("0 0.5 0.5 0.9 0")
    (finding,) = check_boxes(tmp_path).findings
    assert finding.record == f"labels/train/{odd}.txt: line 1"
    with pytest.raises(DataError, match="no-area: labels/train/caf"):
        read_boxes(tmp_path)


@pytest.mark.parametrize("name", ["\ud800.png", os.fsdecode(b"caf\xe9.png")])
def test_names_that_no_terminal_can_show_are_printed_all_the_same(name, tmp_path):
    document = sound_document()
    document["images"][0]["file_name"], document["images"][1]["file_name"] = name, f"z{name}"
    (tmp_path / "all.json").write_text(json.dumps(document))
    command = [sys.executable, "-m", "triscale", "data", "check", str(tmp_path), "--draw", str(tmp_path / "drawn")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env={**os.environ, "PYTHONUTF8": "1"})
    assert (done.returncode, done.stderr) == (1, "")
    assert repr(name)[1:-1] in done.stdout
    assert "No image can be drawn." in done.stdout


def test_what_is_not_there_is_said_to_be_so_and_not_to_have_no_boxes(tmp_path, capsys):
    (tmp_path / "shapes").mkdir()
    assert main(["data", "check", str(tmp_path / "shape"), "--draw", str(tmp_path / "drawn")]) == 2
    assert f"{tmp_path / 'shape'}: does not exist; nearby in {tmp_path}: shapes" in capsys.readouterr().err


def test_pictures_go_into_a_folder_or_nowhere(tmp_path):
    report = check_boxes(write_coco(tmp_path / "set", drawn_set(4)))
    (tmp_path / "file").write_text("words")
    with pytest.raises(FileError, match="is a file; give a folder for the pictures"):
        draw_report(report, tmp_path / "file")
