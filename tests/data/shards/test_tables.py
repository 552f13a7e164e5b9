"""Parquet files and what `datasets` saves to disk, as pyarrow writes both here."""

import json

import pytest

from tests.data.shards.helpers import png
from triscale.data.dataset import read_dataset
from triscale.data.shards.pack import pack
from triscale.errors import DataError

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

NAMES = ["cat", "dog", "eel"]
FEATURES = {"image": {"_type": "Image"}, "label": {"names": NAMES, "_type": "ClassLabel"}}


def table(count=9, image="record", labels=None, names=True, column="image", first=0):
    """Rows as the hub's data sets have them."""
    pictures = [png(number % 3, number) for number in range(first, first + count)]
    if image == "record":
        pictures = [{"bytes": data, "path": f"{number}.png"} for number, data in enumerate(pictures)]
    labels = [number % 3 for number in range(count)] if labels is None else labels
    made = pyarrow.table({column: pictures, "label": labels, "caption": ["x"] * count})
    described = {"info": {"features": FEATURES}}
    return made.replace_schema_metadata({"huggingface": json.dumps(described)} if names else None)


def write_arrow(path, rows):
    """As `Dataset.save_to_disk` does: a stream of record batches."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, rows.schema) as writer:
        writer.write_table(rows, 4)
    return path


def labels(samples, classes):
    return [classes[each.label] for each in samples]


@pytest.mark.parametrize("image", ["record", "bytes"])
def test_parquet_with_named_labels_is_a_data_set(tmp_path, image):
    parquet.write_table(table(image=image), tmp_path / "a.parquet", row_group_size=4)
    dataset = read_dataset(tmp_path / "a.parquet", val_share=0.0)
    assert dataset.classes == ("cat", "dog", "eel")
    assert labels(dataset.train, dataset.classes) == ["cat", "dog", "eel"] * 3
    assert [each.path.read_bytes() for each in dataset.train] == [png(number % 3, number) for number in range(9)]


@pytest.mark.parametrize(
    ("given", "names", "classes"),
    [
        ([3, 4, 10] * 3, False, ("3", "4", "10")),
        (["b", "a", "b"] * 3, False, ("a", "b")),
    ],
)
def test_labels_without_names_are_numbers_or_strings(tmp_path, given, names, classes):
    parquet.write_table(table(labels=given, names=names), tmp_path / "a.parquet")
    assert read_dataset(tmp_path / "a.parquet").classes == classes


def test_a_folder_as_the_hub_lays_it_out_has_its_splits(tmp_path):
    (tmp_path / "data").mkdir()
    for name, count in (("train-00000-of-00002", 6), ("train-00001-of-00002", 6), ("test-00000-of-00001", 3)):
        parquet.write_table(table(count), tmp_path / "data" / f"{name}.parquet")
    (tmp_path / "README.md").write_text("a card")
    dataset = read_dataset(tmp_path, val_share=0.0)
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [12, 0, 3]


def test_what_datasets_saves_to_disk_has_its_splits(tmp_path):
    for split, count in (("train", 9), ("test", 3)):
        write_arrow(tmp_path / split / "data-00000-of-00001.arrow", table(count))
        (tmp_path / split / "state.json").write_text("{}")
    write_arrow(tmp_path / "train" / "cache-1234.arrow", table(3))
    (tmp_path / "dataset_dict.json").write_text('{"splits": ["train", "test"]}')
    dataset = read_dataset(tmp_path, val_share=0.0)
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [9, 0, 3]
    assert labels(dataset.test, dataset.classes) == ["cat", "dog", "eel"]


def test_arrow_files_of_other_programs_are_read(tmp_path):
    rows = table()
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pyarrow.ipc.new_file(file, rows.schema) as writer:
        writer.write_table(rows)
    assert len(read_dataset(tmp_path / "a.arrow", val_share=0.0).train) == 9


def test_a_table_can_be_packed(tmp_path):
    parquet.write_table(table(), tmp_path / "a.parquet")
    pack(tmp_path / "a.parquet", tmp_path / "out")
    assert read_dataset(tmp_path / "out").fingerprint == read_dataset(tmp_path / "a.parquet").fingerprint


def test_images_that_were_kept_as_paths_are_found_beside_the_table(tmp_path):
    (tmp_path / "0.png").write_bytes(png())
    rows = [{"bytes": None, "path": "0.png"}, {"bytes": png(1), "path": None}, {"bytes": None, "path": "../0.png"}]
    parquet.write_table(pyarrow.table({"image": rows, "label": ["a", "b", "a"]}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"1 of 3 images cannot be used: .*000000002\.png: the image is empty"):
        read_dataset(tmp_path / "a.parquet")
    assert len(read_dataset(tmp_path / "a.parquet", val_share=0.0, skip_broken=True).train) == 2


def test_labels_that_are_none_are_named(tmp_path):
    parquet.write_table(table(labels=[0, None, 2] * 3, names=True), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"3 of 9 images cannot be used: .*no label"):
        read_dataset(tmp_path / "a.parquet")


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"picture": [b"x"], "label": [1]}, "no column of images: it has picture, label; expected one called image"),
        ({"image": [b"x"], "kind": [1]}, "no column of labels: it has image, kind; expected one called label"),
        ({"image": [3], "label": [1]}, "row 0 holds int as an image; expected the bytes"),
    ],
)
def test_tables_without_images_or_labels_say_what_they_have(tmp_path, rows, said):
    parquet.write_table(pyarrow.table(rows), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=said):
        read_dataset(tmp_path / "a.parquet")


def test_a_damaged_table_is_one_line(tmp_path):
    parquet.write_table(table(), tmp_path / "a.parquet")
    data = (tmp_path / "a.parquet").read_bytes()
    for name, content in (("cut.parquet", data[:-300]), ("no.parquet", b"text" * 50), ("no.arrow", b"text" * 50)):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=f"{name}: is damaged, or no table") as caught:
            read_dataset(tmp_path / name)
        assert "\n" not in str(caught.value)
