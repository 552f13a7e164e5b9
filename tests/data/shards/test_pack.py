"""Packing: the same images, the same split, the same training; written whole, again, or not at all."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
import time

import numpy as np
import pytest
from PIL import Image

from tests.images import make_folder, make_image
from triscale.data.augment import Augmentation
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.data.shards import pack as pack_module
from triscale.data.shards.pack import pack
from triscale.errors import DataError, FileError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(16, 16))


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """60 images of three classes, which no test changes."""
    return make_folder(tmp_path_factory.mktemp("images"), classes=3, per_class=20)


def content(folder):
    return {each.name: each.read_bytes() for each in folder.iterdir()}


def test_the_same_images_and_arguments_give_the_same_bytes(images, tmp_path):
    one = pack(images, tmp_path / "one", 30_000)
    copied = shutil.copytree(images, tmp_path / "copied")
    for number, path in enumerate(sorted(copied.rglob("*.png"))):
        os.utime(path, (number, number))
    pack(copied, tmp_path / "two", 30_000)
    assert content(tmp_path / "one") == content(tmp_path / "two")
    pack(images, tmp_path / "three", 30_000, seed=1)
    assert content(tmp_path / "three").keys() == content(tmp_path / "one").keys()
    assert content(tmp_path / "three")["train-000000.tar"] != content(tmp_path / "one")["train-000000.tar"]
    assert (one.samples, len(one.shards), one.classes) == (60, 10, ("apple", "bridge", "cloud"))


def test_bytes_suffixes_and_labels_are_kept(tmp_path):
    folder = tmp_path / "in"
    for label, name in enumerate(("cat", "dog")):
        (folder / name).mkdir(parents=True)
        make_image(label).save(folder / name / "a.webp")
        make_image(label, 1).save(folder / name / "b.JPG", "JPEG")
    pack(folder, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        found = {each.name: tar.extractfile(each).read() for each in tar}
        kinds = {(each.mtime, each.uid, each.gid, each.uname, each.mode) for each in tar.getmembers()}
    assert found == {
        "cat/a.webp": (folder / "cat" / "a.webp").read_bytes(), "cat/a.cls": b"0",
        "cat/b.jpg": (folder / "cat" / "b.JPG").read_bytes(), "cat/b.cls": b"0",
        "dog/a.webp": (folder / "dog" / "a.webp").read_bytes(), "dog/a.cls": b"1",
        "dog/b.jpg": (folder / "dog" / "b.JPG").read_bytes(), "dog/b.cls": b"1",
    }  # fmt: skip
    assert kinds == {(0, 0, 0, "", 0o644)}


READ_BY_WEBDATASET = """
import hashlib, sys, webdataset
samples = webdataset.WebDataset(sys.argv[1], shardshuffle=False).decode("pil")
for key, picture, label in samples.to_tuple("__key__", "png", "cls"):
    print(key, label, hashlib.sha256(picture.tobytes()).hexdigest())
"""


def test_webdataset_reads_our_shards(images, tmp_path):
    """In a process of its own, because the library leaves its files open."""
    count = len(pack(images, tmp_path / "out", 100_000).shards)
    pattern = f"{tmp_path}/out/train-{{000000..{count - 1:06d}}}.tar"
    command = [sys.executable, "-W", "ignore", "-c", READ_BY_WEBDATASET, pattern]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    seen = {key: (label, digest) for key, label, digest in (line.split() for line in lines)}
    assert len(lines) == len(seen) == 60
    expected = hashlib.sha256(Image.open(images / "bridge" / "007.png").tobytes()).hexdigest()
    assert seen["bridge/007"] == ("1", expected)


def test_each_shard_is_a_mix_of_the_classes(images, tmp_path):
    pack(images, tmp_path / "out", 120_000)
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        labels = [tar.extractfile(each).read() for each in tar if each.name.endswith(".cls")]
    assert set(labels) == {b"0", b"1", b"2"}
    assert labels != sorted(labels)


def test_shards_hold_what_the_folder_holds_in_the_same_splits_and_order(images, tmp_path):
    pack(images, tmp_path / "out", 30_000)
    folder, shards = (read_dataset(path, test_share=0.1, seed=5) for path in (images, tmp_path / "out"))
    assert (shards.fingerprint, shards.classes) == (folder.fingerprint, folder.classes)
    for split in ("train", "val", "test"):
        one, other = getattr(folder, split), getattr(shards, split)
        assert [each.path.read_bytes() for each in one] == [each.path.read_bytes() for each in other]
        assert [each.label for each in one] == [each.label for each in other]


def test_batches_from_shards_are_those_from_the_folder(images, tmp_path):
    pack(images, tmp_path / "out", 30_000)
    augmentation = Augmentation(randaugment_layers=1)
    one, other = (Batches(read_dataset(p).train, PREPROCESSING, 8, augmentation) for p in (images, tmp_path / "out"))
    for mine, theirs in zip(one.epoch(3), other.epoch(3), strict=True):
        assert np.array_equal(mine.images.numpy(), theirs.images.numpy())
        assert np.array_equal(mine.labels.numpy(), theirs.labels.numpy())


def test_splits_are_kept_or_set_aside(images, tmp_path):
    make_folder(tmp_path / "split", classes=2, splits={"train": 5, "val": 2})
    report = pack(tmp_path / "split", tmp_path / "a")
    assert [(each.name, each.split, each.samples) for each in report.shards] == [
        ("train-000000.tar", "train", 10),
        ("val-000000.tar", "val", 4),
    ]
    pack(images, tmp_path / "b", val_share=0.2, test_share=0.1, seed=3)
    folder, shards = read_dataset(images, 0.2, 0.1, seed=3), read_dataset(tmp_path / "b")
    assert shards.fingerprint == folder.fingerprint


def test_csv_files_and_shards_can_be_packed(images, tmp_path):
    rows = [f"{path},{path.parent.name}" for path in sorted(images.rglob("*.png"))]
    (tmp_path / "t.csv").write_text("\n".join(["path,label", *rows]))
    pack(tmp_path / "t.csv", tmp_path / "a", 50_000)
    pack(tmp_path / "a", tmp_path / "b", 90_000)
    assert read_dataset(tmp_path / "b").fingerprint == read_dataset(tmp_path / "t.csv").fingerprint
    with tarfile.open(tmp_path / "a" / "train-000000.tar") as tar:
        assert not any(name.startswith("/") or ".." in name for name in tar.getnames())


def test_keys_are_safe_and_no_two_alike(tmp_path):
    names = ["a.b.png", "a_b.png", "a b.png", "ü.png"]
    folder = tmp_path / "in"
    for number, name in enumerate(names):
        for label, kind in enumerate(("one", "t.wo")):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            make_image(label, number).save(folder / kind / name)
    report = pack(folder, tmp_path / "out")
    with tarfile.open(tmp_path / "out" / "train-000000.tar") as tar:
        keys = sorted(name.removesuffix(".png") for name in tar.getnames() if name.endswith(".png"))
    assert keys == ["one/a_b", "one/a_b-2", "one/a_b-3", "one/ü", "t_wo/a_b", "t_wo/a_b-2", "t_wo/a_b-3", "t_wo/ü"]
    assert report.samples == 8
    assert read_dataset(tmp_path / "out").fingerprint == read_dataset(folder).fingerprint


def test_broken_images_are_refused_or_left_out_and_counted(images, tmp_path):
    folder = shutil.copytree(images, tmp_path / "in")
    (folder / "apple" / "003.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"1 of 60 images cannot be used: .*003\.png"):
        pack(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    report = pack(folder, tmp_path / "out", skip_broken=True)
    assert (report.samples, report.skipped) == (59, (f"{folder}/apple/003.png",))


def test_a_stopped_call_goes_on_and_ends_with_the_same_bytes(images, tmp_path, monkeypatch):
    pack(images, tmp_path / "whole", 30_000)
    original, written = pack_module.write_tar, []

    def stopped(path, samples):
        if len(written) == 4:
            path.write_bytes(b"half")
            raise KeyboardInterrupt
        written.append(path.name)
        return original(path, samples)

    monkeypatch.setattr(pack_module, "write_tar", stopped)
    with pytest.raises(KeyboardInterrupt):
        pack(images, tmp_path / "out", 30_000)
    assert not (tmp_path / "out" / "shards.json").exists()
    monkeypatch.setattr(pack_module, "write_tar", lambda *given: written.append(1) or original(*given))
    (tmp_path / "out" / ".train-000004.tar.1.part").write_bytes(b"of a process that was killed")
    pack(images, tmp_path / "out", 30_000)
    assert len(written) == 10  # none of the first four again
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_killed_at_any_moment_it_goes_on(images, tmp_path):
    pack(images, tmp_path / "whole", 30_000)
    for moment in (0.05, 0.15):
        child = os.fork()
        if child == 0:
            pack(images, tmp_path / "out", 30_000)
            os._exit(0)
        time.sleep(moment)
        os.kill(child, 9)
        os.waitpid(child, 0)
    pack(images, tmp_path / "out", 30_000)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_the_same_call_again_writes_nothing(images, tmp_path):
    pack(images, tmp_path / "out", 30_000)
    before = {each.name: each.stat().st_mtime_ns for each in (tmp_path / "out").glob("*.tar")}
    pack(images, tmp_path / "out", 30_000)
    assert {each.name: each.stat().st_mtime_ns for each in (tmp_path / "out").glob("*.tar")} == before
    (tmp_path / "out" / "train-000002.tar").unlink()
    pack(images, tmp_path / "out", 30_000)
    assert (tmp_path / "out" / "train-000002.tar").exists()


def test_other_arguments_and_other_files_are_refused(images, tmp_path):
    pack(images, tmp_path / "out", 30_000)
    with pytest.raises(DataError, match="holds shards of other images or arguments"):
        pack(images, tmp_path / "out", 40_000)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "letter.txt").write_text("dear")
    with pytest.raises(DataError, match=r"is not empty \(it holds letter\.txt\)"):
        pack(images, tmp_path / "full")
    with pytest.raises(FileError, match="cannot be written"):
        pack(images, tmp_path / "full" / "letter.txt")
    with pytest.raises(DataError, match="shards of 100 bytes are too small"):
        pack(images, tmp_path / "other", 100)
    with pytest.raises(DataError, match="lies inside of the images"):
        pack(images, images / "shards")
    with pytest.raises(DataError, match=r"val_share 1\.5 and test_share 0\.0 must be in"):
        pack(images, tmp_path / "other", val_share=1.5)
    assert not (tmp_path / "other").exists()


def test_a_full_disk_is_one_line_and_what_is_written_stays(images, tmp_path, monkeypatch):
    def full(path, samples):
        raise OSError(28, "No space left on device")

    pack(images, tmp_path / "out", 30_000)
    before = content(tmp_path / "out")
    (tmp_path / "out" / "train-000003.tar").unlink()
    monkeypatch.setattr(pack_module, "write_tar", full)
    with pytest.raises(FileError, match=r"train-000003\.tar: cannot be written: the disk is full"):
        pack(images, tmp_path / "out", 30_000)
    left = content(tmp_path / "out")
    assert {name: left[name] for name in before if name != "train-000003.tar"} == {
        name: data for name, data in before.items() if name != "train-000003.tar"
    }


def test_progress_ends_with_all_images(images, tmp_path):
    seen = []
    pack(images, tmp_path / "out", 30_000, writing=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (60, 60)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)


def test_gnu_tar_reads_what_was_written(images, tmp_path):
    pack(images, tmp_path / "out")
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", tmp_path / "out" / "train-000000.tar", "-C", tmp_path / "unpacked"], check=True)
    assert (tmp_path / "unpacked/cloud/011.png").read_bytes() == (images / "cloud" / "011.png").read_bytes()
    assert json.loads((tmp_path / "out" / "shards.json").read_text())["classes"] == ["apple", "bridge", "cloud"]
