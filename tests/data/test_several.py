"""A CSV of several labels an image: what is read, what is refused, how it is split."""

import pytest

from tests.data.test_dataset import refusal, write_csv
from tests.images import make_folder
from tests.several import make_several
from triscale.data.check import check
from triscale.data.dataset import read_dataset
from triscale.data.several import multi_hot
from triscale.data.shards.pack import pack
from triscale.errors import DataError


def labelled(tmp_path, labels, splits=()):
    """A CSV that gives these labels to images of a folder, in turns."""
    make_folder(tmp_path, classes=1, per_class=len(labels))
    rows = [["path", "label", "split"]]
    rows += [[f"apple/{n:03d}.png", each, splits[n] if splits else ""] for n, each in enumerate(labels)]
    return write_csv(tmp_path / "set.csv", rows)


def test_labels_are_read_once_each_and_sorted(tmp_path):
    dataset = read_dataset(labelled(tmp_path, ["dog|cat", "cat", " cat | dog |cat", "|"], ["train"] * 3 + ["val"]))
    assert dataset.several
    assert dataset.classes == ("cat", "dog")
    assert dataset.target_width == 2
    assert [each.labels for each in dataset.train] == [(0, 1), (0,), (0, 1)]
    assert [each.labels for each in dataset.val] == [()]
    assert multi_hot([each.labels for each in dataset.train], 2).tolist() == [[1, 1], [1, 0], [1, 1]]
    assert {each.label for each in dataset.train} == {-1}


def test_without_a_separator_there_is_one_label_an_image(tmp_path):
    dataset = read_dataset(labelled(tmp_path, ["cat", "dog", "cat", "dog"], ["train", "train", "val", "val"]))
    assert (dataset.several, dataset.target_width) == (False, 0)
    assert [(each.label, each.labels) for each in dataset.train] == [(0, ()), (1, ())]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        (["cat|dog", ""], "row 3: no label; every row needs both (an image that has none of them is written '|')"),
        (["cat|dog", "cat|"], "row 3: an empty label in 'cat|'; write labels as cat|dog, and '|' alone"),
        (["cat|dog", "cat||dog"], "row 3: an empty label in 'cat||dog'"),
        (["cat|cat", "cat|cat"], "only one class (cat)"),
    ],
)
def test_empty_labels_are_refused_with_their_row(tmp_path, labels, said):
    assert said in refusal(labelled(tmp_path, labels))


def test_a_label_that_train_has_not_is_refused(tmp_path):
    said = refusal(labelled(tmp_path, ["cat|dog", "cat", "cat|bird"], ["train", "train", "val"]))
    assert "val or test has classes that train has not: bird; add them to train" in said


def test_every_label_is_trained_and_the_rare_ones_are_validated_too(tmp_path):
    """30 of common|rare 5: the rare label alone would hardly be in a validation share of 15 %."""
    dataset = read_dataset(labelled(tmp_path, ["common"] * 25 + ["common|rare"] * 5))
    rare = dataset.classes.index("rare")
    for split in (dataset.train, dataset.val):
        assert any(rare in each.labels for each in split)
    assert len(dataset.train) + len(dataset.val) == 30


def test_a_class_whose_images_all_fell_into_validation_is_named(tmp_path):
    """A split that leaves nothing to learn from is refused; here by giving every image of bird to val by hand."""
    table = labelled(tmp_path, ["cat|dog"] * 9 + ["bird|cat"], [""] * 9 + ["val"])
    assert "val or test has classes that train has not: bird" in refusal(table)


def test_the_split_is_the_same_each_time(tmp_path):
    table = make_several(tmp_path, 3)
    assert read_dataset(table) == read_dataset(table)


def test_two_rows_that_disagree_are_a_contradiction_and_the_same_labels_in_another_order_none(tmp_path):
    make_folder(tmp_path, classes=1, per_class=2)
    rows = [["path", "label"], ["apple/000.png", "cat|dog"], ["apple/000.png", "dog|cat"], ["apple/001.png", "cat"]]
    assert len(read_dataset(write_csv(tmp_path / "a.csv", rows)).train) == 2
    rows[2][1] = "dog"
    assert "has two labels: 'cat|dog' in row 2, 'dog' in row 3" in refusal(write_csv(tmp_path / "b.csv", rows))


def test_a_check_counts_every_label(tmp_path):
    report = check(make_several(tmp_path, 2, {"train": 8, "val": 4}))
    assert report.classes == {"apple": 6, "bridge": 6}
    assert report.images == 12


def test_shards_hold_one_class_an_image(tmp_path):
    with pytest.raises(DataError, match="a shard holds one class number; train from the CSV"):
        pack(make_several(tmp_path / "set", 2), tmp_path / "shards")
