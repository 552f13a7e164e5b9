"""What a predictor is asked, by the names of classes; what corruption leaves; whether it is as sure as it is right."""

from dataclasses import replace

import numpy as np
import pytest

from tests.images import NAMES, make_folder
from tests.several import make_several
from triscale.data.dataset import read_dataset
from triscale.deployment.judge import calibration_of, judge, judge_corrupted, question
from triscale.deployment.predictor import Predictor
from triscale.errors import DataError, SpecError
from triscale.spec.preprocessing import Preprocessing
from triscale.training.corruption import CORRUPTIONS

PREPROCESSING = Preprocessing(size=(16, 16), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0), crop=1.0)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    """Apple, bridge and cloud: 2 images of each to train on, 5 to validate on; their mean colour tells them apart."""
    return make_folder(tmp_path_factory.mktemp("judge"), 3, splits={"train": 2, "val": 5})


def predictor(classes, several=False, temperature=None):
    """Knows an image by its mean colour, which is that of its class in `make_folder`, whatever the order of classes."""
    labels = [NAMES.index(name) for name in classes if name in NAMES]
    colours = np.array([[(n * 53) % 256, (n * 101 + 80) % 256, (n * 151 + 160) % 256] for n in labels]) / 255

    def run(images):
        distances = ((images.mean((2, 3))[:, None] - colours) ** 2).sum(2)
        scores = -200 * distances.astype(np.float32)
        return np.pad(scores, ((0, 0), (0, len(classes) - len(labels))), constant_values=-1e3)

    return Predictor("a rule", PREPROCESSING, tuple(classes), run, several, temperature)


def judged(knower, dataset, in_order=False):
    return judge(knower, question(knower, dataset, dataset.val, in_order))


@pytest.mark.parametrize("classes", [("apple", "bridge", "cloud"), ("cloud", "apple", "bridge")])
def test_classes_are_matched_by_name_whatever_their_order(images, classes):
    found = judged(predictor(classes), read_dataset(images))
    assert found.top1 == 1.0
    assert {each.name: each.images for each in found.classes} == {"apple": 5, "bridge": 5, "cloud": 5}
    assert [each.name for each in found.classes] == list(classes)


def test_classes_that_the_data_does_not_have_may_still_be_answered(images):
    found = judged(predictor(("dolphin", "cloud", "apple", "bridge", "yacht")), read_dataset(images))
    assert found.per_class == {"cloud": 1.0, "apple": 1.0, "bridge": 1.0}
    assert [found.classes[i].name for i in found.occurring()] == ["cloud", "apple", "bridge"]


def test_classes_that_the_model_does_not_know_are_named(images):
    dataset = read_dataset(images)
    with pytest.raises(DataError, match="does not know the classes 'apple', 'cloud'; it knows bridge, dolphin"):
        question(predictor(("bridge", "dolphin")), dataset, dataset.val)
    with pytest.raises(DataError, match="does not know the class 'cloud'; it knows apple, bridge"):
        question(predictor(("apple", "bridge")), dataset, dataset.val)


def test_a_model_without_names_is_never_matched_by_position_unless_asked(images):
    dataset, knower = read_dataset(images), replace(predictor(("apple", "bridge", "cloud")), classes=())
    with pytest.raises(DataError, match=r"does not say which classes its outputs are, .* --in-order takes"):
        judged(knower, dataset)
    assert judged(knower, dataset, in_order=True).top1 == 1.0
    wide = replace(predictor(("apple", "bridge", "cloud", "dolphin")), classes=())
    with pytest.raises(DataError, match="gives 4 outputs an image, and there are 3 classes"):
        judged(wide, dataset, in_order=True)


def test_a_model_of_several_labels_takes_images_of_one(images):
    found = judged(predictor(("cloud", "apple", "bridge"), several=True), read_dataset(images))
    assert found.map == 1.0
    assert list(found.per_class) == ["apple", "bridge", "cloud"]


def test_labels_of_several_are_matched_by_name_too(tmp_path):
    dataset = read_dataset(make_several(tmp_path, 2, {"train": 4, "val": 4}))
    asked = question(predictor(("cloud", "bridge", "apple"), several=True), dataset, dataset.val)
    assert asked.names == ("apple", "bridge")
    assert asked.outputs.tolist() == [2, 1]
    assert asked.labels.tolist() == [[0, 0], [1, 0], [0, 1], [1, 1]]


def test_a_part_of_a_question_is_spread_over_it(images):
    dataset = read_dataset(images)
    part = question(predictor(("apple", "bridge", "cloud")), dataset, dataset.val).part(3)
    assert part.labels.tolist() == [0, 1, 2]
    assert len(part.samples) == 3


def test_corruption_is_measured_kind_by_kind_and_the_same_each_time(images):
    knower, dataset = predictor(("apple", "bridge", "cloud")), read_dataset(images)
    asked = question(knower, dataset, dataset.val)
    found = judge_corrupted(knower, asked, (1, 5), seed=3)
    assert [(each.kind, each.severity) for each in found] == [(kind, s) for kind in CORRUPTIONS for s in (1, 5)]
    scores = {(each.kind, each.severity): each.score for each in found}
    assert scores["motion_blur", 5] == 1.0  # a mean colour survives a blur
    assert scores["brightness", 5] < 1.0  # and not another exposure
    assert judge_corrupted(knower, asked, (1, 5), seed=3) == found


def test_the_temperature_of_the_file_is_measured_on_these_images(images):
    dataset = read_dataset(images)
    plain = calibration_of(predictor(dataset.classes), judged(predictor(dataset.classes), dataset), "held out")
    assert (plain.how, plain.temperature, plain.bins) == ("no temperature", 1.0, plain.bins_scaled)
    knower = predictor(dataset.classes, temperature=40.0)
    found = judged(knower, dataset)
    calibration = calibration_of(knower, found, "held out")
    assert (calibration.temperature, calibration.how) == (40.0, "held out")
    assert calibration.loss == pytest.approx(found.loss, rel=1e-5)
    cooler = replace(knower, run=lambda each: knower.run(each) / 40)
    assert calibration.loss_scaled == pytest.approx(judged(cooler, dataset).loss, rel=1e-5)


def test_probabilities_are_calibrated_only_where_a_temperature_is_known(images):
    dataset = read_dataset(images)
    files = [each.path for each in dataset.val[:1]]
    with pytest.raises(SpecError, match="a rule: says no temperature"):
        predictor(dataset.classes).calibrated()
    knower = predictor(dataset.classes, temperature=5.0)
    plain, calm = knower.probabilities(files), knower.calibrated().probabilities(files)
    np.testing.assert_allclose(np.log(calm[0, 0] / calm[0, 1]), np.log(plain[0, 0] / plain[0, 1]) / 5, rtol=1e-4)
