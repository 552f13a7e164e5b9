"""A few images are learnt when their boxes are right, are not when they are wrong, and the verdict says why."""

from dataclasses import replace

import pytest
import torch

from training.detection.tiny import tiny_model, tiny_set
from triscale.data.detection.check import check_boxes
from triscale.data.detection.dataset import BoxLabel
from triscale.data.detection.read import read_boxes
from triscale.data.detection.said import BoxFinding
from triscale.data.scenes import write_scenes
from triscale.detection.create import create_detector
from triscale.errors import TrainingError
from triscale.training.detection.overfit import Overfit, chosen_few, likeliest, overfit
from triscale.training.recipe import Recipe
from triscale.training.recipes import RECIPES


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return tiny_set(tmp_path_factory.mktemp("set"), train=12, empty=6)


def with_boxes(dataset, change):
    """The set with other boxes: `change(number, boxes)` of each training image."""
    changed = tuple(replace(each, boxes=change(number, each.boxes)) for number, each in enumerate(dataset.train))
    return replace(dataset, train=changed)


def of_another(dataset):
    """Each image has another image's boxes."""
    boxes = [each.boxes for each in dataset.train]
    return with_boxes(dataset, lambda number, _: boxes[(number + 5) % len(boxes)])


def read_wrong(number, boxes):
    """Width and height taken for a corner, as when xywh is read as xyxy; what then has no area is left out."""
    read = [box._replace(x2=box.x2 - box.x1, y2=box.y2 - box.y1) for box in boxes]
    return tuple(box for box in read if box.x2 > box.x1 + 4 and box.y2 > box.y1 + 4)


def contradicting(dataset):
    """The same images twice, each crop with another class the second time."""
    classes = len(dataset.classes)
    twice = [
        replace(each, boxes=tuple(box._replace(label=(box.label + shift) % classes) for box in each.boxes))
        for each in chosen_few(dataset.train, 4)
        for shift in (0, 1)
    ]
    return replace(dataset, train=tuple(twice))


def test_right_boxes_are_learnt_and_wrong_ones_are_not(images):
    right = overfit(tiny_model(), images, Recipe(), 8, steps=200)
    assert (right.images, right.broken) == (8, False)
    wrong = overfit(tiny_model(), of_another(images), Recipe(), 8, steps=60)
    assert wrong.broken and wrong.map50 < 0.25
    assert "look at the data. Likeliest: boxes lie where their objects are not (each image may have" in wrong.verdict()


def test_the_few_are_spread_over_those_that_have_objects(images):
    some = [each for each in images.train if each.boxes]
    assert len(some) == 10
    assert chosen_few(images.train, 4) == (some[0], some[2], some[5], some[7])
    assert chosen_few(images.train, 99) == tuple(some)
    with pytest.raises(TrainingError, match="8 images with objects cannot be taken: there are 0"):
        chosen_few([each for each in images.train if not each.boxes], 8)


def finding(kind):
    return BoxFinding(kind, "boxes.json", f"boxes.json, {kind}", "it is wrong")


def test_the_likeliest_cause_is_what_the_data_check_found_first_of_all():
    assert likeliest([]).startswith("boxes lie where their objects are not")
    assert likeliest([finding("leak")]).startswith("boxes lie where their objects are not")
    assert likeliest([finding("tiny"), finding("contradiction")]) == (
        "the same pixels have different classes or boxes (1 found, first: boxes.json, contradiction: it is wrong)"
    )
    both = [finding("outside"), finding("outside"), finding("wrong-form")]
    assert likeliest(both).startswith("boxes are read in another form than they were written in (1 found")
    assert likeliest(both[:2]).startswith("boxes do not fit their images: another form, or another image's (2 found")


@pytest.mark.parametrize(
    ("score", "said", "broken"),
    [(0.93, "they can be learnt; the data check found 1 leak all the same", False),
     (0.7, "learnt in part; objects may be too small", False),
     (0.49, "look at the data. Likeliest: boxes lie", True)],
)  # fmt: skip
def test_what_is_said_follows_from_the_score_and_the_check(score, said, broken):
    found = Overfit(8, 30, score, 0.8, 80, 60.0, (finding("leak"),))
    assert said in found.verdict() and f"mAP50 {score:.2f} on the 8 images" in found.verdict()
    assert found.broken == broken


def test_what_was_only_learnt_by_heart_does_not_count():
    found = Overfit(8, 30, 0.95, 0.3, 80, 60.0, ())
    assert found.broken and found.map50 == 0.3
    assert found.verdict().startswith(
        "mAP50 0.95 on the 8 images it was trained on, by heart: objects of other images are not told from what is "
        "beside them (AP50 0.30): look at the data. Likeliest: boxes lie"
    )
    assert Overfit(8, 30, 0.2, 0.3, 80, 60.0, ()).map50 == 0.2
    assert Overfit(8, 30, 0.95, None, 80, 60.0, ()).learnt  # there are no other images


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = write_scenes(tmp_path_factory.mktemp("scenes") / "set", 0, {"train": 40, "val": 4, "test": 4})
    return folder, read_boxes(folder)


def overfitted(dataset, findings=()):
    torch.manual_seed(0)
    model = create_detector("efficientdet_lite0", "pretrained", len(dataset.classes))
    recipe = RECIPES["detection"]
    still = replace(recipe.detection.augmentation, flip=0.0)
    return overfit(
        model, dataset, replace(recipe, detection=replace(recipe.detection, augmentation=still)), 8, findings
    )


@pytest.mark.slow
def test_digits_on_photographs_are_learnt(scenes):
    folder, dataset = scenes
    found = overfitted(dataset, check_boxes(folder).findings)
    assert found.learnt and found.map50 >= 0.9
    assert found.verdict().startswith(f"mAP50 {found.map50:.2f} on the 8 images it was trained on: they can be learnt")


@pytest.mark.slow
@pytest.mark.parametrize("fault", [of_another, lambda dataset: with_boxes(dataset, read_wrong), contradicting])
def test_digits_with_wrong_boxes_are_not(scenes, fault):
    found = overfitted(fault(scenes[1]))
    assert found.broken and "look at the data" in found.verdict()


def test_a_box_read_wrong_is_another_box():
    box = BoxLabel(10.0, 20.0, 40.0, 80.0, 0)
    assert read_wrong(0, (box,)) == (BoxLabel(10.0, 20.0, 30.0, 60.0, 0),)
