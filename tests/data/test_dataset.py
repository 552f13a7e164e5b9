import csv
import os
import shutil

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.images import NAMES, make_folder, make_image
from tests.nobody import as_nobody
from triscale.data.dataset import _split_class, read_dataset
from triscale.errors import DataError


def names(dataset, split):
    return {sample.path.relative_to(dataset.root).as_posix() for sample in getattr(dataset, split)}


def refusal(path, **options):
    with pytest.raises(DataError) as caught:
        read_dataset(path, **options)
    assert len(str(caught.value).splitlines()) == 1
    return str(caught.value)


def write_csv(path, rows, separator=","):
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(rows)
    return path


# --- what is read


def test_class_folders_are_split_and_labelled_by_their_sorted_names(tmp_path):
    dataset = read_dataset(make_folder(tmp_path, classes=3, per_class=8))
    assert dataset.classes == ("apple", "bridge", "cloud")
    assert len(dataset.train) + len(dataset.val) == 24
    assert dataset.test == ()
    for sample in dataset.train + dataset.val:
        assert sample.path.parent.name == dataset.classes[sample.label]
    assert {sample.label for sample in dataset.val} == {0, 1, 2}


def test_given_splits_are_kept(tmp_path):
    dataset = read_dataset(make_folder(tmp_path, splits={"train": 5, "val": 3, "test": 2}), test_share=0.3)
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [15, 9, 6]
    assert all(name.startswith("val/") for name in names(dataset, "val"))


def test_validation_is_set_aside_from_train_where_only_test_is_given(tmp_path):
    dataset = read_dataset(make_folder(tmp_path, splits={"Train": 10, "test": 4}), val_share=0.3)
    assert len(dataset.test) == 12
    assert all(name.startswith("Train/") for name in names(dataset, "val"))
    assert {sample.label for sample in dataset.val} == {0, 1, 2}
    assert any("No validation split was given: 30%" in note for note in dataset.notes)


def test_a_class_may_be_called_train(tmp_path):
    make_folder(tmp_path, classes=2)
    (tmp_path / "apple").rename(tmp_path / "train")
    assert read_dataset(tmp_path).classes == ("bridge", "train")


def test_images_may_lie_deeper_and_hidden_files_do_not_count(tmp_path):
    make_folder(tmp_path, classes=2, per_class=4)
    (tmp_path / "apple" / "more" / "yet").mkdir(parents=True)
    make_image(0, 99).save(tmp_path / "apple" / "more" / "yet" / "x.png")
    (tmp_path / "apple" / ".hidden.png").write_bytes(b"?")
    (tmp_path / "apple" / "Thumbs.db").write_bytes(b"?")
    (tmp_path / ".git").mkdir()
    dataset = read_dataset(tmp_path)
    assert len(dataset.train) + len(dataset.val) == 9
    assert not any("left out" in note for note in dataset.notes)


def test_a_link_to_a_folder_above_does_not_go_round_forever(tmp_path):
    make_folder(tmp_path, classes=2, per_class=4)
    (tmp_path / "apple" / "loop").symlink_to(tmp_path / "apple")
    dataset = read_dataset(tmp_path)
    assert len(dataset.train) + len(dataset.val) == 8


def test_other_files_are_left_out_and_said(tmp_path):
    make_folder(tmp_path, classes=2)
    (tmp_path / "apple" / "notes.txt").write_text("x")
    (tmp_path / "README.md").write_text("x")
    assert "2 files are no images of a class and were left out: README.md, notes.txt." in read_dataset(tmp_path).notes


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_a_csv_names_paths_labels_and_splits(tmp_path, separator):
    make_folder(tmp_path, classes=2, per_class=3)
    rows = [["path", "label", "split"]]
    rows += [[f"apple/{n:03d}.png", "sweet", ["train", "validation", ""][n]] for n in range(3)]
    rows += [[f"./bridge/{n:03d}.png", "long", ["train", "VAL", "test"][n]] for n in range(3)]
    dataset = read_dataset(write_csv(tmp_path / "set.csv", rows, separator))
    assert dataset.classes == ("long", "sweet")
    assert [len(each) for each in (dataset.train, dataset.val, dataset.test)] == [3, 2, 1]
    assert dataset.test[0].path == tmp_path / "bridge/002.png"


def test_a_csv_without_split_is_split_by_content(tmp_path):
    make_folder(tmp_path, classes=2, per_class=10)
    files = sorted(tmp_path.rglob("*.png"))
    rows = [["Filename", "Class"]] + [[each.relative_to(tmp_path), each.parent.name] for each in files]
    from_table = read_dataset(write_csv(tmp_path / "set.csv", rows))
    from_folder = read_dataset(tmp_path)
    assert {each.path for each in from_table.val} == {each.path for each in from_folder.val}


# --- the split


def test_the_split_is_the_same_each_time_and_another_for_another_seed(tmp_path):
    make_folder(tmp_path, classes=2, per_class=20)
    first, again, other = read_dataset(tmp_path), read_dataset(tmp_path), read_dataset(tmp_path, seed=1)
    assert first == again
    assert first.val != other.val
    assert first.fingerprint != other.fingerprint


def test_adding_and_renaming_images_moves_no_other_image(tmp_path):
    make_folder(tmp_path, classes=2, per_class=30)
    before = read_dataset(tmp_path, val_share=0.3)
    for number in range(30, 60):
        make_image(0, number).save(tmp_path / "apple" / f"{number:03d}.png")
    after = read_dataset(tmp_path, val_share=0.3)
    assert names(before, "val") <= names(after, "val")
    assert names(before, "train") <= names(after, "train")
    (tmp_path / "apple" / "000.png").rename(tmp_path / "apple" / "renamed.png")
    was_val = "apple/000.png" in names(after, "val")
    assert ("apple/renamed.png" in names(read_dataset(tmp_path, val_share=0.3), "val")) == was_val


def test_copies_of_an_image_stay_in_one_split(tmp_path):
    make_folder(tmp_path, classes=2, per_class=20)
    for number in range(20):
        shutil.copy(tmp_path / "apple" / f"{number:03d}.png", tmp_path / "apple" / f"copy{number:03d}.png")
    dataset = read_dataset(tmp_path, val_share=0.4)
    for number in range(20):
        both = {f"apple/{number:03d}.png", f"apple/copy{number:03d}.png"}
        assert both <= names(dataset, "val") or both <= names(dataset, "train")


@given(
    st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=30, unique=True),
    st.floats(0, 0.49),
    st.floats(0, 0.49),
)
def test_each_class_is_in_each_split_that_it_has_images_for(places, val_share, test_share):
    chosen = _split_class(sorted(places), val_share, test_share)
    wanted = ["train"] + ["val"] * (val_share > 0) + ["test"] * (test_share > 0)
    assert set(wanted[: len(places)]) <= set(chosen.values()) <= set(wanted)


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(-5, 10**20))
def test_any_seed_works(tmp_path, seed):
    make_folder(tmp_path, classes=2, per_class=3)
    assert len(read_dataset(tmp_path, seed=seed, verify=False).train) in (2, 3, 4)


def test_shares_come_out_about_as_asked(tmp_path):
    dataset = read_dataset(make_folder(tmp_path, classes=2, per_class=200, size=4), val_share=0.2, test_share=0.1)
    assert len(dataset.val) == pytest.approx(80, abs=25)
    assert len(dataset.test) == pytest.approx(40, abs=20)


def test_a_class_with_one_image_trains_and_is_named(tmp_path):
    make_folder(tmp_path, classes=2)
    for path in sorted((tmp_path / "apple").iterdir())[1:]:
        path.unlink()
    assert "No validation image in apple: too few different images." in read_dataset(tmp_path).notes


def test_the_fingerprint_is_of_names_sizes_and_labels(tmp_path):
    make_folder(tmp_path / "a", classes=2)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    first = read_dataset(tmp_path / "a").fingerprint
    assert read_dataset(tmp_path / "b").fingerprint == first
    (tmp_path / "b" / "apple" / "000.png").rename(tmp_path / "b" / "bridge" / "new.png")
    assert read_dataset(tmp_path / "b").fingerprint != first


# --- what is refused, in one line


def test_a_path_that_does_not_exist_says_what_is_nearby(tmp_path):
    make_folder(tmp_path / "flowers")
    assert f"{tmp_path}/flowrs: does not exist; nearby in {tmp_path}: flowers; expected" in refusal(tmp_path / "flowrs")
    assert f"nearby in {tmp_path}/flowers: {', '.join(NAMES[:3])}" in refusal(tmp_path / "flowers" / "aple")
    assert f"nearby in {tmp_path}: flowers" in refusal(tmp_path / "flours" / "train")


def test_an_empty_folder(tmp_path):
    assert f"{tmp_path}: the folder is empty; expected DATA/CLASS" in refusal(tmp_path)


def test_one_class_only(tmp_path):
    assert "only one class (apple); a classifier needs at least two" in refusal(make_folder(tmp_path, classes=1))


def test_a_folder_of_non_images(tmp_path):
    for name in ("a.txt", "b.txt", "c.pdf"):
        (tmp_path / "things").mkdir(exist_ok=True)
        (tmp_path / "things" / name).write_text("words")
    assert "no images: 3 files of other kinds (2 .txt, 1 .pdf)" in refusal(tmp_path)


def test_images_without_class_folders(tmp_path):
    make_image(0).save(tmp_path / "a.png")
    (tmp_path / "labels.csv").write_text("path,label\n")
    assert "1 images but no class folders (there is labels.csv: give that file instead?)" in refusal(tmp_path)


def test_only_empty_class_folders(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert "no images in any of its 2 folders" in refusal(tmp_path)


def test_a_class_folder_with_no_images(tmp_path):
    make_folder(tmp_path)
    (tmp_path / "zebra").mkdir()
    assert f"{tmp_path}/zebra: a class folder with no images; put some into it, or remove it." in refusal(tmp_path)


def test_a_class_that_only_val_has(tmp_path):
    make_folder(tmp_path, splits={"train": 2, "val": 2})
    (tmp_path / "train" / "apple").rename(tmp_path / "train" / "aple")
    assert "val or test has classes that train has not: apple" in refusal(tmp_path)


def test_a_single_file_is_not_a_set(tmp_path):
    make_image(0).save(tmp_path / "a.png")
    assert "not a CSV file" in refusal(tmp_path / "a.png")


def test_broken_images_are_refused_by_name_or_skipped_and_counted(tmp_path):
    make_folder(tmp_path, classes=2, suffix=".jpg")
    cut, empty = tmp_path / "apple" / "003.jpg", tmp_path / "bridge" / "001.jpg"
    cut.write_bytes(cut.read_bytes()[:400])
    empty.write_bytes(b"")
    said = refusal(tmp_path)
    assert "2 of 16 images cannot be used" in said
    assert f"{cut}: truncated or damaged image" in said
    assert f"{empty}: the file is empty (0 bytes)" in said
    assert said.endswith("To go on without them: --skip-broken.")
    dataset = read_dataset(tmp_path, skip_broken=True)
    assert set(dataset.skipped) == {cut, empty}
    assert len(dataset.train) + len(dataset.val) == 14
    assert any("2 images that cannot be used were skipped" in note for note in dataset.notes)


def test_skipping_all_images_of_a_class_is_refused(tmp_path):
    make_folder(tmp_path, classes=2)
    for path in (tmp_path / "apple").iterdir():
        path.write_bytes(b"")
    assert "no usable training image is left in apple" in refusal(tmp_path, skip_broken=True)


def test_without_verifying_a_broken_image_passes(tmp_path):
    make_folder(tmp_path, classes=2)
    (tmp_path / "apple" / "000.png").write_bytes(b"broken")
    assert read_dataset(tmp_path, verify=False).skipped == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([["a", "b"], ["apple/000.png", "x"]], "the first line is 'a,b'; expected a header path,label"),
        ([["path", "label"]], "no rows below the header"),
        ([["path", "label"], ["apple/000.png", ""]], "row 2: no label"),
        ([["path", "label"], ["apple/000.png"]], "row 2: no label"),
        ([["path", "label"], ["", "x"]], "row 2: no path"),
        ([["path", "label"], ["apple/000.png", "red|"]], r"row 2: an empty label in 'red\|'; write labels as cat\|dog"),
        ([["path", "label", "split"], ["apple/000.png", "x", "dev"]], "row 2: split 'dev' is not known"),
        (
            [["path", "label"], ["apple/000.png", "x"], ["apple/001.png", "y"], ["apple/000.png", "y"]],
            "000.png has two labels: 'x' in row 2, 'y' in row 4",
        ),
        (
            [["path", "label", "split"], ["apple/000.png", "x", "val"], ["apple/000.png", "x", "train"]],
            "row 3: apple/000.png is in another split in row 2",
        ),
        (
            [["path", "label"], ["apple/000.png", "x"], ["apple/0001.png", "y"]],
            r"1 of 2 images cannot be used: .*0001.png: no such file; nearby in .*: 001.png",
        ),
    ],
)
def test_a_csv_that_is_wrong_says_where(tmp_path, rows, words):
    make_folder(tmp_path, classes=1, per_class=2)
    write_csv(tmp_path / "set.csv", rows)
    with pytest.raises(DataError, match=words):
        read_dataset(tmp_path / "set.csv")


@pytest.mark.parametrize("shares", [(-0.1, 0), (0.5, 0.5), (1.0, 0)])
def test_impossible_shares(tmp_path, shares):
    assert "must be in 0..1" in refusal(tmp_path, val_share=shares[0], test_share=shares[1])


def test_files_and_folders_without_read_permission_are_named(shared_folder):
    make_folder(shared_folder / "set", classes=2)
    secret = shared_folder / "set" / "apple" / "002.png"
    secret.chmod(0)
    imports = "import PIL.Image, triscale.data.dataset\nPIL.Image.init()"
    read = f"triscale.data.dataset.read_dataset({str(shared_folder / 'set')!r})"
    assert f"1 of 16 images cannot be used: {secret}: no permission to read it" in as_nobody(imports, read)
    (shared_folder / "set" / "bridge").chmod(0)
    said = as_nobody(imports, read)
    assert f"{shared_folder}/set/bridge: no permission to read this folder; allow it (chmod +rx)" in said
    os.chmod(shared_folder / "set", 0)  # noqa: PTH101
    assert "no permission to read this folder" in as_nobody(imports, read)


@pytest.mark.parametrize("name", ["two\nlines", "bell\a", os.fsdecode(b"caf\xe9")])
def test_a_class_name_that_no_page_could_show_is_refused(tmp_path, name):
    make_folder(tmp_path, classes=2, per_class=1)
    (tmp_path / NAMES[0]).rename(tmp_path / name)
    with pytest.raises(DataError, match="has control characters or is not UTF-8; give it another name"):
        read_dataset(tmp_path)


@pytest.mark.parametrize("name", ["crème brûlée", "<b>", "寿司\u3000", "👩\u200d🚀", "a\u2044b"])
def test_any_other_class_name_is_kept(tmp_path, name):
    make_folder(tmp_path, classes=2, per_class=1)
    (tmp_path / NAMES[0]).rename(tmp_path / name)
    assert name in read_dataset(tmp_path).classes
