"""What DATA means."""

from pathlib import Path

import pytest

from tests.data.shards.helpers import samples, write_tar
from tests.images import make_folder
from triscale.data.find import find_images, location
from triscale.data.shards.places import expand, is_shards
from triscale.errors import DataError


def test_folders_of_images_and_shards_are_told_apart(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    make_folder(tmp_path / "images", classes=2, per_class=3)
    write_tar(tmp_path / "shards" / "a.tar", samples([0, 1]))
    assert [len(find_images(tmp_path / name).entries) for name in ("images", "shards", "shards/a.tar")] == [6, 2, 2]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("http://host/a.tar", True),
        ("s3://bucket/x", True),
        ("pipe:cat a.tar", True),
        ("a-{00..11}.tar", True),
        ("*.parquet", True),
        ("nowhere", False),
        ("nowhere.tar", False),
        ("C:/images", False),
        ("table.csv", False),
    ],
)
def test_urls_and_patterns_name_shards(text, found):
    assert is_shards(text) is found


def test_patterns_stand_for_names():
    assert list(expand("a-{008..011}.tar")) == ["a-008.tar", "a-009.tar", "a-010.tar", "a-011.tar"]
    assert list(expand("{train,val}-{0..1}.tar")) == ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]
    assert list(expand("plain.tar")) == ["plain.tar"]
    for pattern in ("{0..999999}.tar", "{5..3}.tar", "{000..999}{000..999}.tar"):
        with pytest.raises(DataError, match="at most 100,000"):
            list(expand(pattern))


def test_a_place_is_the_same_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert location("images") == location(Path("images/")) == str(tmp_path / "images")
    assert location("http://host/a/../b.tar") == "http://host/a/../b.tar"
