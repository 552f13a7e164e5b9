import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from triscale.data.images import image_header, open_image
from triscale.data.transforms import load, needed_size, preprocess
from triscale.detection.boxes import clip, decode
from triscale.detection.detect import detect, detections, to_image
from triscale.detection.detections import Detections
from triscale.detection.detector import DetectorNet
from triscale.detection.suppress import suppress
from triscale.errors import SpecError
from triscale.spec.families import network
from triscale.spec.families.efficientdet import detector_from
from triscale.spec.placement import Placement, place
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.suppression import Suppression

PLAIN = Preprocessing(size=(256, 256), fit="letterbox", mean=(0.0,) * 3, std=(1.0,) * 3, interpolation="bilinear")


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return DetectorNet(detector_from(network("efficientnet_lite0"), classes=3)).eval()


def measured(values):
    """The white rectangle in (H, W) values of 0..1, to a fraction of a pixel: how much white lies beside its middle."""
    box = []
    for axis in (0, 1):
        bright = values.max(axis)
        middle = int((bright * np.arange(len(bright))).sum() / bright.sum())
        box.append((middle - bright[:middle].sum(), middle + bright[middle:].sum()))
    (x1, x2), (y1, y2) = box
    return [x1, y1, x2, y2]


def drawn(size, box):
    image = Image.new("RGB", (size[1], size[0]), "black")
    x1, y1, x2, y2 = box
    ImageDraw.Draw(image).rectangle((x1, y1, x2 - 1, y2 - 1), "white")
    return image


def near(size, share):
    """A rectangle whose lower right corner is at that share of the image."""
    height, width = size
    x2, y2 = int(width * share), int(height * share)
    return [x2 - width // 4, y2 - height // 4, x2, y2]


@pytest.mark.parametrize("size", [(480, 640), (224, 352), (300, 500), (333, 1001), (1001, 333), (97, 61), (800, 1234)])
@pytest.mark.parametrize("into", [(256, 256), (224, 352), (300, 500)])
@pytest.mark.parametrize("share", [0.5, 0.97])
def test_a_rectangle_is_found_where_it_was_drawn_within_a_pixel(size, into, share):
    box = near(size, share)
    seen = preprocess(drawn(size, box), PLAIN, into)[0].numpy()
    (found,) = to_image(Detections([measured(seen)], [0.9], [1]), place(PLAIN, size, into), size).boxes
    np.testing.assert_allclose(found, box, atol=1)


def test_a_jpeg_that_was_decoded_smaller_is_no_exception(tmp_path):
    box = near((1333, 2001), 0.97)
    drawn((1333, 2001), box).save(tmp_path / "a.jpg", quality=95)
    decoded = open_image(tmp_path / "a.jpg", needed_size(PLAIN, PLAIN.size))
    assert decoded.size == (1001, 667)
    _, original = image_header(tmp_path / "a.jpg")
    placement = place(PLAIN, (667, 1001)).of_original((667, 1001), original)
    seen = load(tmp_path / "a.jpg", PLAIN)[0].numpy()
    seen[seen < 0.02] = 0  # what the compression leaves in the black
    (found,) = to_image(Detections([measured(seen)], [0.9], [1]), placement, original).boxes
    np.testing.assert_allclose(found, box, atol=1)


def test_boxes_in_the_filling_are_left_out_and_others_cut():
    placement = Placement((0, 0, 100, 50), (128, 256))
    found = Detections([[250, 120, 256, 200], [0, 130, 256, 250]], [0.9, 0.8], [0, 1])
    mapped = to_image(found, placement, (50, 100))
    np.testing.assert_allclose(mapped.boxes, [[250 / 2.56, 120 / 2.56, 100, 50]], rtol=1e-6)
    assert mapped.labels.tolist() == [0]


@pytest.mark.parametrize("size", [(128, 128), (96, 160), (150, 130)])
def test_detecting_is_decoding_everything_then_suppressing(model, size):
    images = torch.randn(2, 3, *size, generator=torch.Generator().manual_seed(1))
    rule = Suppression(score=0.0, candidates=300, detections=30)
    with torch.no_grad():
        logits, offsets = model(images)
    expected = suppress(clip(decode(offsets, model.anchors(size)), size), logits, rule)
    for found, wanted in zip(detect(model, images, rule), expected, strict=True):
        assert len(found) == 30
        np.testing.assert_allclose(found.boxes, wanted.boxes, atol=1e-4)
        np.testing.assert_allclose(found.scores, wanted.scores, rtol=1e-5)
        assert found.labels.tolist() == wanted.labels.tolist()
        assert found.boxes.min() >= 0
        assert (found.boxes.max(0) <= [size[1], size[0], size[1], size[0]]).all()


def test_the_detector_s_own_suppression_holds_where_none_is_given(model):
    images = torch.zeros(1, 3, 64, 64)
    assert len(detect(model, images)[0]) <= model.detector.suppression.detections
    assert len(detect(model, images, Suppression(score=1.0))[0]) == 0


def test_answers_that_do_not_go_together_are_one_line():
    with pytest.raises(SpecError, match=r"got \(1, 9, 2\), \(1, 9, 4\) and \(8, 4\)"):
        detections(torch.zeros(1, 9, 2), torch.zeros(1, 9, 4), torch.zeros(8, 4), (64, 64), Suppression())
