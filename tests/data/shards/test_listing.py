"""Shards of any origin as data sets: labels, classes, splits, and each kind of damage named."""

import json
import os
import shutil
import subprocess
import sys

import pytest
import webdataset

from tests.data.shards.helpers import png, samples, write_tar
from tests.images import make_folder
from triscale.data.check import check
from triscale.data.dataset import read_dataset
from triscale.data.images import open_image
from triscale.data.shards import index
from triscale.data.shards.pack import pack
from triscale.errors import DataError, MissingExtraError


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """60 images of three classes in ten shards, which no test changes."""
    folder = tmp_path_factory.mktemp("packed")
    make_folder(folder / "images", classes=3, per_class=20)
    return pack(folder / "images", folder / "shards", 30_000).folder


@pytest.fixture
def copy(packed, tmp_path):
    return shutil.copytree(packed, tmp_path / "copy")


def all_of(dataset):
    return (*dataset.train, *dataset.val, *dataset.test)


def labels(dataset):
    return {each.path.name: dataset.classes[each.label] for each in all_of(dataset)}


def test_shards_that_webdataset_wrote_are_read(tmp_path):
    for shard in range(2):
        with webdataset.TarWriter(str(tmp_path / f"train-{shard:06d}.tar")) as writer:
            for number in range(6):
                sample = {"__key__": f"{shard}/{number:03d}", "png": png(number % 3, number), "cls": number % 3}
                writer.write(sample | {"json": {"where": "here"}})
    dataset = read_dataset(tmp_path, val_share=0.0)
    assert dataset.classes == ("0", "1", "2")
    assert len(dataset.train) == 12
    assert labels(dataset)["1/005.png"] == "2"
    one = next(each for each in dataset.train if each.path.name == "1/005.png")
    assert one.path.read_bytes() == png(2, 5)
    assert open_image(one.path).size == (24, 24)


def test_shards_that_gnu_tar_packed_are_read_though_labels_lie_apart(tmp_path):
    for number in range(6):
        (tmp_path / f"{number}.png").write_bytes(png(number % 2, number))
        (tmp_path / f"{number}.cls").write_text(f"{number % 2 + 9}\n")
    names = [f"{number}{suffix}" for suffix in (".png", ".cls") for number in range(6)]
    subprocess.run(["tar", "-cf", "x.tar", *names], cwd=tmp_path, check=True)
    dataset = read_dataset(tmp_path / "x.tar", val_share=0.0)
    assert dataset.classes == ("9", "10")  # numbers, not words
    assert labels(dataset)["3.png"] == "10"


@pytest.mark.parametrize(
    ("suffix", "given", "classes"),
    [
        (".cls", ["cat", "dog"], ("cat", "dog")),
        (".cls.txt", ["cat", "dog"], ("cat", "dog")),
        (".json", ['{"label": 4}', '{"label": 2}'], ("2", "4")),
        (".json", ['{"cls": "b"}', '"a"'], ("a", "b")),
    ],
)
def test_labels_may_be_numbers_or_names_in_text_or_json(tmp_path, suffix, given, classes):
    write_tar(tmp_path / "x.tar", samples(given * 4, suffix=suffix))
    assert read_dataset(tmp_path / "x.tar").classes == classes


def test_all_image_formats_are_images_and_the_plainest_name_is_the_samples(tmp_path):
    image = png()
    members = [
        ("a.webp", image), ("a.cls", b"0"),
        ("b.JPEG", image), ("b.cls", b"1"),
        ("c.depth.png", b""), ("c.png", image), ("c.cls", b"1"),
        ("dir.with.dots/d.png", image), ("dir.with.dots/d.cls", b"0"),
        ("._a.jpg", b"clutter"), ("readme.txt", b"words"),
    ]  # fmt: skip
    write_tar(tmp_path / "x.tar", members)
    dataset = read_dataset(tmp_path / "x.tar", val_share=0.0)
    assert sorted(labels(dataset)) == ["a.webp", "b.jpeg", "c.png", "dir.with.dots/d.png"]
    assert any("files are no images of a class" in note for note in dataset.notes)


@pytest.mark.parametrize("names", ["{split}-000.tar", "{split}/000.tar", "{split}_a.tar"])
def test_splits_are_told_by_the_names_of_shards_or_folders(tmp_path, names):
    for split, count in (("train", 6), ("val", 3), ("test", 2)):
        write_tar(tmp_path / names.format(split=split), samples([number % 2 for number in range(count)], split))
    dataset = read_dataset(tmp_path)
    assert [len(part) for part in (dataset.train, dataset.val, dataset.test)] == [6, 3, 2]


@pytest.mark.parametrize("pattern", ["*.tar", "train-{000000..000009}.tar", "train-00000{0..9}.tar", "", "shards.json"])
def test_all_ways_to_name_the_shards_mean_the_same_set(packed, pattern):
    assert read_dataset(packed / pattern).fingerprint == read_dataset(packed).fingerprint


def test_file_urls_are_paths(packed):
    assert read_dataset(packed.as_uri()).fingerprint == read_dataset(packed).fingerprint


def test_some_shards_of_a_set_keep_its_classes(packed):
    dataset = read_dataset(packed / "train-{000000..000001}.tar")
    assert dataset.classes == ("apple", "bridge", "cloud")
    assert len(all_of(dataset)) < 30


def test_the_shards_of_one_split_are_a_set_by_themselves(tmp_path):
    make_folder(tmp_path / "images", classes=2, splits={"train": 6, "test": 4})
    pack(tmp_path / "images", tmp_path / "test")
    alone = read_dataset(tmp_path / "test" / "test-*.tar", val_share=0.0)
    assert (len(alone.train), len(alone.test), alone.classes) == (8, 0, ("apple", "bridge"))


def test_a_folder_of_images_beside_a_tar_stays_a_folder_of_images(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    write_tar(tmp_path / "backup.tar", samples([0, 1]))
    assert len(all_of(read_dataset(tmp_path))) == 4


def test_an_index_is_made_once_and_again_when_the_shard_changed(tmp_path, monkeypatch):
    looked = []
    original = index.look
    monkeypatch.setattr(index, "look", lambda *given: looked.append(1) or original(*given))
    shard = write_tar(tmp_path / "x.tar", samples([0, 1, 0, 1]))
    first = read_dataset(shard)
    assert (read_dataset(shard), len(looked)) == (first, 4)
    os.utime(shard, (1, 1))
    assert (read_dataset(shard).fingerprint, len(looked)) == (first.fingerprint, 8)
    write_tar(shard, samples([0, 1, 0, 1, 1]))
    assert (len(all_of(read_dataset(shard))), len(looked)) == (5, 13)


def test_a_damaged_index_in_the_cache_is_made_again(tmp_path, cache):
    shard = write_tar(tmp_path / "x.tar", samples([0, 1, 0, 1]))
    first = read_dataset(shard)
    (kept,) = (cache / "indices").iterdir()
    for content in (b"", b"[1]", kept.read_bytes()[:-20], b'{"version": 9}'):
        kept.write_bytes(content)
        assert read_dataset(shard) == first


def refused(data, *said):
    """What is said of it; and that `check` finds it, and that it can be gone on without."""
    with pytest.raises(DataError) as caught:
        read_dataset(data)
    message = str(caught.value)
    assert all(each in message for each in (*said, "--skip-broken")), message
    assert "\n" not in message
    report = check(data)
    assert not report.ok
    return read_dataset(data, skip_broken=True), report


def test_a_missing_shard_is_named_and_skipped_only_if_asked(copy):
    known = json.loads((copy / "shards.json").read_text())
    (copy / "train-000002.tar").unlink()
    dataset, report = refused(copy, "1 shards cannot be read whole", f"{copy}/train-000002.tar: shards.json lists it")
    assert len(all_of(dataset)) == 60 - known["shards"][2]["samples"]
    assert report.counts() == {"missing": 1}
    assert any("train-000002.tar" in note for note in dataset.notes)


def test_a_truncated_shard_is_named_with_its_byte_and_gives_what_is_whole(copy):
    os.truncate(copy / "train-000004.tar", 19_000)
    dataset, report = refused(copy, "train-000004.tar: truncated: it ends at byte 19,000, a member at byte")
    assert 55 < len(all_of(dataset)) < 60
    assert report.counts() == {"broken": 1}


def test_an_image_that_cannot_be_read_is_named_by_shard_and_key(copy):
    data = bytearray((copy / "train-000001.tar").read_bytes())
    data[600:700] = bytes(100)
    (copy / "train-000001.tar").write_bytes(data)
    dataset, report = refused(copy, "1 of 60 images cannot be used", "train-000001.tar: ", ".png: truncated or damaged")
    assert len(all_of(dataset)) == len(all_of(read_dataset(copy, skip_broken=True))) == 59
    assert report.counts() == {"broken": 2}  # the image, and the hash of its shard


def test_a_changed_shard_is_found_by_its_hash(copy):
    data = (copy / "train-000001.tar").read_bytes()
    (copy / "train-000001.tar").write_bytes(data + bytes(10240))
    with pytest.raises(DataError, match=r"train-000001\.tar: has 40,960 bytes, shards\.json says 30,720"):
        read_dataset(copy)
    flipped = bytearray(data)
    flipped[-1] = 1  # behind the end mark: no reader sees it
    (copy / "train-000001.tar").write_bytes(flipped)
    assert len(all_of(read_dataset(copy))) == 60
    assert "SHA-256 differs" in check(copy).findings[0].message


@pytest.mark.parametrize(
    ("members", "said"),
    [
        (samples([0, 1, 1]) + [("000.png", png())], "a second image with this key"),
        (samples([0, 1, 1]) + [("9.png", png())], "x.tar: 9.png: no label: expected KEY.cls"),
        (samples([0, 1, 1]) + [("9.png", png()), ("9.json", b'{"box": [1]}')], "no label"),
        (samples([0, 1, 1]) + [("9.png", b""), ("9.cls", b"1")], "9.png: the image is empty"),
        (samples([0, 1, 1]) + [("9.png", b"text"), ("9.cls", b"1")], "9.png: not an image"),
    ],
)
def test_samples_that_cannot_be_used_are_named(tmp_path, members, said):
    dataset, _ = refused(write_tar(tmp_path / "x.tar", members), "1 of 4 images cannot be used", said)
    assert len(all_of(dataset)) == 3


@pytest.mark.parametrize("label", ["3", "-1", "hat", "99999999999999999999"])
def test_a_label_outside_of_the_classes_is_named(copy, label):
    write_tar(copy / "train-000003.tar", [("k.png", png()), ("k.cls", label.encode())])
    known = json.loads((copy / "shards.json").read_text())
    known["shards"][3]["bytes"] = (copy / "train-000003.tar").stat().st_size
    (copy / "shards.json").write_text(json.dumps(known))
    with pytest.raises(DataError, match=f"k.png: its label '{label}' is none of the 3 classes, 0 to 2"):
        read_dataset(copy)


def test_an_empty_shard_is_refused(copy, tmp_path):
    write_tar(tmp_path / "e" / "a.tar", samples([0, 1, 1]))
    write_tar(tmp_path / "e" / "b.tar", [])
    refused(tmp_path / "e", "b.tar: a shard without a sample")
    with pytest.raises(DataError, match="no sample in 1 shards"):
        read_dataset(tmp_path / "e" / "b.tar")


def test_names_with_ways_out_are_only_names(tmp_path):
    names = ["../../out", "/etc/passwd", "C:\\x", "a\x1b[31m\nb", "\udcff"]
    members = []
    for number, name in enumerate(names):
        raw = name.encode("utf-8", "surrogateescape").decode("utf-8", "surrogateescape")
        members += [(f"{raw}.png", png(0, number)), (f"{raw}.cls", b"%d" % (number % 2))]
    shard = write_tar(tmp_path / "in" / "x.tar", members)
    dataset = read_dataset(shard, val_share=0.0)
    assert len(dataset.train) == 5
    assert all(str(each.path).isprintable() for each in dataset.train)
    assert [each.name for each in tmp_path.iterdir()] == ["in"]


def test_what_is_wrong_with_shards_json_is_said(copy):
    known = json.loads((copy / "shards.json").read_text())
    for change, said in (
        ({"version": 2}, "is of format 2, this triscale reads 1"),
        ({"format": "other"}, "does not describe shards"),
        ({"classes": []}, "names a class twice, or none at all"),
        ({"classes": ["a", "a"]}, "names a class twice"),
        ({"shards": []}, "names a shard twice, or none at all"),
        ({"shards": [known["shards"][0] | {"name": "../x.tar"}]}, "'../x.tar' is no name of a shard"),
        ({"shards": [known["shards"][0] | {"split": "dev"}]}, "split 'dev' is not known"),
    ):
        (copy / "shards.json").write_text(json.dumps(known | change))
        with pytest.raises(DataError, match=r"shards\.json: ") as caught:
            read_dataset(copy)
        assert said in str(caught.value)


def test_an_index_beside_a_shard_that_is_another_ones_is_refused(copy):
    (copy / "train-000000.index.json").write_bytes((copy / "train-000001.index.json").read_bytes())
    with pytest.raises(DataError, match=r"train-000000\.index\.json: is not the index that shards\.json knows"):
        read_dataset(copy)


def test_progress_counts_shards(packed):
    seen = []
    read_dataset(packed, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 10) for number in range(1, 11)]


def test_without_pyarrow_the_install_command_is_named(tmp_path, monkeypatch):
    (tmp_path / "a.parquet").write_bytes(b"PAR1")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"Reading a\.parquet needs pyarrow.*pip install 'triscale\[parquet\]'"):
        read_dataset(tmp_path / "a.parquet")
