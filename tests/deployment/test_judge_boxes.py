import numpy as np
import pytest
from PIL import Image

from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.deployment.judge_boxes import BoxQuestion, box_question, judge_boxes
from triscale.detection.detections import Detections
from triscale.errors import DataError, TrainingError
from triscale.spec.preprocessing import Preprocessing
from triscale.training.progress import SilentProgress

HOW = Preprocessing(size=(96, 128), mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear", fit="letterbox")


@pytest.fixture
def samples(tmp_path):
    """Eleven black images of several sizes, each with one white rectangle; and one without any."""
    made = []
    for number in range(11):
        height, width = 60 + 37 * number, 300 - 17 * number
        box = (10 + number, 12, 10 + number + 40, 12 + 30)
        pixels = np.zeros((height, width, 3), np.uint8)
        pixels[box[1] : box[3], box[0] : box[2]] = 255
        path = tmp_path / f"{number:02d}.png"
        Image.fromarray(pixels).save(path)
        made.append(BoxSample(path, (height, width), (BoxLabel(*map(float, box), 0),)))
    Image.new("RGB", (50, 50)).save(tmp_path / "empty.png")
    return [*made, BoxSample(tmp_path / "empty.png", (50, 50))]


def white(images):
    """Finds what is white, in pixels of the network's input."""
    assert images.shape[1:] == (3, *HOW.size)
    found = []
    for image in images:
        places = np.argwhere(image[0] > 0.5)
        box = [[*places.min(0)[::-1], *(places.max(0)[::-1] + 1)]] if len(places) else []
        found.append(Detections(np.array(box, float).reshape(-1, 4), np.full(len(box), 0.9), np.ones(len(box))))
    return found


def dataset(samples, classes=("box",)):
    return BoxDataset("set", classes, (), (), tuple(samples), "")


def test_boxes_are_found_in_pixels_of_the_images_whatever_their_size(samples):
    asked = box_question(("other", "box"), "model", dataset(samples), samples)
    progress, seen = SilentProgress(), []
    progress.advance = lambda steps=1, detail="": seen.append(steps)
    answers = judge_boxes(white, HOW, asked, progress=progress)
    assert sum(seen) == 12
    for sample, found in zip(samples[:-1], answers.found, strict=False):
        pixel = max(sample.size[0] / 96, sample.size[1] / 128)  # of the input, in pixels of the image
        assert np.abs(found.boxes[0] - sample.boxes[0][:4]).max() <= pixel
    assert len(answers.found[-1]) == 0
    assert answers.evaluation.count == 12
    assert answers.evaluation.details.recall == 1
    assert answers.evaluation.per_class == {"box": pytest.approx(answers.evaluation.score)}
    assert answers.evaluation.seconds > 0


def test_classes_are_matched_by_name(samples):
    asked = box_question(("a", "box", "b"), "model", dataset(samples), samples)
    assert asked.names == ("a", "box", "b")
    assert {box.label for sample in asked.samples for box in sample.boxes} == {1}
    with pytest.raises(DataError, match="set: the model does not know the class 'box'; it knows a, b"):
        box_question(("a", "b"), "model", dataset(samples), samples)


def test_a_detector_that_names_no_classes_has_to_be_told_their_order(samples):
    with pytest.raises(DataError, match="does not say which classes its outputs are"):
        box_question((), "model", dataset(samples), samples)
    assert box_question((), "model", dataset(samples), samples, in_order=True).names == ("box",)


def test_a_threshold_is_kept(samples):
    asked = BoxQuestion(tuple(samples[:2]), ("box", "other"))
    assert judge_boxes(white, HOW, asked, threshold=0.3).evaluation.details.threshold == 0.3


def test_images_without_an_object_cannot_be_scored(samples):
    with pytest.raises(TrainingError, match="have no object"):
        judge_boxes(white, HOW, BoxQuestion((samples[-1],), ("box",)))
