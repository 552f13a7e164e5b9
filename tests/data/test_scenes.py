import itertools
import json
import sys

import numpy as np
import pytest
from PIL import Image

from triscale.data import scenes
from triscale.data.scenes import SPLITS, digits_of, draw_scenes, paste, render, write_scenes
from triscale.data.shards.order import reading
from triscale.errors import FileError, MissingExtraError, SpecError

COUNTS = {"train": 40, "val": 10, "test": 30}


@pytest.fixture(scope="module")
def drawn():
    return {split: draw_scenes(split, count) for split, count in COUNTS.items()}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_scenes(tmp_path_factory.mktemp("scenes") / "set", images=COUNTS)


def read(folder, split):
    return json.loads((folder / "annotations" / f"instances_{split}.json").read_text())


def sides(box):
    return box[2] - box[0], box[3] - box[1]


@pytest.mark.parametrize("side", [16, 17, 40, 119, 120])
def test_a_box_is_tight_around_what_was_pasted(side):
    black, white = np.zeros((160, 160, 3), np.uint8), np.full(3, 255, np.float32)
    for image in list(digits_of("val").values())[::40]:
        ink = render(image, side, 20.0)
        changed = np.argwhere((paste(black, ink, (30, 20), white) != black).any(-1))
        (top, left), (bottom, right) = changed.min(0), changed.max(0) + 1
        assert (left, top, right, bottom) == (30, 20, 30 + ink.shape[1], 20 + ink.shape[0])
        assert side - 2 <= max(ink.shape) <= side


def test_what_is_outside_of_a_box_is_the_photograph(drawn):
    scene = next(each for each in drawn["train"] if each.photograph == "brick.png" and each.boxes)
    outside = np.ones(scene.pixels.shape[:2], bool)
    for x1, y1, x2, y2 in scene.boxes:
        outside[y1:y2, x1:x2] = False
    spread = np.ptp(scene.pixels, axis=2)  # the bricks are grey, the digits have colours
    assert spread[outside].max() == 0
    assert all(spread[y1:y2, x1:x2].max() > 0 for x1, y1, x2, y2 in scene.boxes)


def test_a_tenth_of_the_images_has_no_digit_and_the_others_one_to_eight(drawn):
    for split, count in COUNTS.items():
        numbers = [len(scene.boxes) for scene in drawn[split]]
        assert numbers.count(0) == count // 10
        assert max(numbers) <= 8
    assert {len(scene.boxes) for scene in drawn["train"]} == set(range(9))


def test_digits_are_16_to_120_pixels_inside_the_image_and_of_every_class(drawn):
    for scene in itertools.chain.from_iterable(drawn.values()):
        assert scene.pixels.shape == (320, 320, 3)
        for box in scene.boxes:
            assert 16 <= max(sides(box)) <= 120
            assert min(box) >= 0
            assert max(box) <= 320
    assert {label for scene in drawn["train"] for label in scene.labels} == set(range(10))


def test_digits_overlap_by_a_fifth_at_most_and_none_is_hidden(drawn):
    for scene in itertools.chain.from_iterable(drawn.values()):
        for one, other in itertools.combinations(scene.boxes, 2):
            width, height = (min(one[i + 2], other[i + 2]) - max(one[i], other[i]) for i in (0, 1))
            common = max(0, width) * max(0, height)
            areas = [np.prod(sides(each)) for each in (one, other)]
            assert common / (sum(areas) - common) <= 0.2
            assert common / min(areas) <= 1 / 3


def test_digits_stand_out_from_what_is_under_them():
    dark, half = np.zeros((20, 20, 3), np.uint8), np.full((20, 20), 0.6, np.float32)
    assert scenes._contrast(dark, half, np.float32([0, 200, 0])) == pytest.approx(120)
    for scene in draw_scenes("val", 10):
        for box in scene.boxes:
            assert np.ptp(scene.pixels[box[1] : box[3], box[0] : box[2]].reshape(-1, 3), axis=0).max() >= 40


def test_no_photograph_and_no_digit_is_in_two_splits(drawn):
    photographs = [set(scenes._photographs(split)) for split in SPLITS]
    assert [len(names) for names in photographs] == [11, 2, 3]
    digits = [{image.tobytes() for image in digits_of(split).values()} for split in SPLITS]
    assert [len(images) for images in digits] == [3600, 400, 1000]
    for sets in (photographs, digits):
        assert all(not one & other for one, other in itertools.combinations(sets, 2))
    for split in SPLITS:
        own = set(digits_of(split))
        assert all(set(scene.sources) <= own for scene in drawn[split])
        assert {scene.photograph for scene in drawn[split]} <= set(scenes._photographs(split))


def test_the_set_as_it_is_has_600_training_images_and_1000_test_digits(drawn):
    assert SPLITS["train"] >= 600
    for split, count in COUNTS.items():
        numbers = scenes._numbers(count, scenes._dice(split, 0))
        assert [len(scene.boxes) for scene in drawn[split]] == numbers
    assert sum(scenes._numbers(SPLITS["test"], np.random.default_rng([0, 2]))) >= 1000


def test_the_same_seed_draws_the_same_and_another_seed_others():
    once, again, other = draw_scenes("test", 3), draw_scenes("test", 3), draw_scenes("test", 3, seed=1)
    assert all(np.array_equal(a.pixels, b.pixels) and a.boxes == b.boxes for a, b in zip(once, again, strict=True))
    assert [scene.boxes for scene in once] != [scene.boxes for scene in other]


def test_the_files_are_coco(folder, drawn):
    for split, scenes_ in drawn.items():
        document = read(folder, split)
        assert [each["name"] for each in document["categories"]] == list("0123456789")
        assert [each["id"] for each in document["categories"]] == list(range(1, 11))
        for image, scene in zip(document["images"], scenes_, strict=True):
            own = [each for each in document["annotations"] if each["image_id"] == image["id"]]
            assert [each["bbox"] for each in own] == [[x, y, x2 - x, y2 - y] for x, y, x2, y2 in scene.boxes]
            assert [each["category_id"] - 1 for each in own] == list(scene.labels)
            assert [each["area"] for each in own] == [w * h for w, h in map(sides, scene.boxes)]
        with Image.open(folder / split / document["images"][0]["file_name"]) as written:
            assert (written.size, written.mode) == ((320, 320), "RGB")
            difference = np.asarray(written, np.int16) - scenes_[0].pixels
        assert np.abs(difference).mean() < 3  # JPEG


def test_a_set_that_is_there_is_left_alone_and_a_broken_one_written_again(folder):
    before = {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in folder.rglob("*.jpg")}
    write_scenes(folder, images=COUNTS)
    assert all(path.stat().st_mtime_ns == when for path, (when, _) in before.items())
    gone = min(before)
    gone.unlink()
    write_scenes(folder, images=COUNTS)
    assert {path: path.read_bytes() for path in before} == {path: data for path, (_, data) in before.items()}


def test_a_set_over_which_another_was_half_written_is_not_taken_for_whole(tmp_path, monkeypatch):
    write_scenes(tmp_path, images={"val": 2})
    before = (tmp_path / "val" / "00001.jpg").read_bytes()
    monkeypatch.setattr(scenes, "write_text", lambda path, text: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        write_scenes(tmp_path, seed=1, images={"val": 2})
    assert (tmp_path / "val" / "00001.jpg").read_bytes() != before
    monkeypatch.undo()
    write_scenes(tmp_path, images={"val": 2})
    assert (tmp_path / "val" / "00001.jpg").read_bytes() == before


def test_what_cannot_be_is_refused_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(SpecError, match="at least 1 of train, val, test"):
        write_scenes(tmp_path, images={"dev": 3})
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(FileError, match="cannot be written"):
        write_scenes(tmp_path / "file" / "set", images={"val": 1})
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError, match="scikit-learn"):
        write_scenes(tmp_path / "other", images={"test": 1})


def test_training_does_not_meet_the_empty_images_in_a_row():
    """Both draw from seed 0: drawn from the same numbers, the first hundred images of an epoch would be empty ones."""
    numbers = scenes._numbers(1000, scenes._dice("train", 0))
    order = reading(1000, None, np.random.default_rng([0, 0])).order
    assert 2 <= sum(numbers[index] == 0 for index in order[:100]) <= 20
