import numpy as np
import pytest
import torch

from tests.peers import effdet
from triscale.detection.anchors import anchor_boxes
from triscale.errors import SpecError
from triscale.spec.detector import Anchors

# name -> (side in pixels, coarsest level, scale, anchors in all); facts of the release, counted as 9 x the maps' areas.
# Sources: google/automl hparams_config.py, rwightman/efficientdet-pytorch config/model_config.py.
RELEASED = {
    "D0": (512, 7, 4.0, 49104),
    "D1": (640, 7, 4.0, 76725),
    "D2": (768, 7, 4.0, 110484),
    "D3": (896, 7, 4.0, 150381),
    "D4": (1024, 7, 4.0, 196416),
    "D5": (1280, 7, 4.0, 306900),
    "D6": (1280, 7, 4.0, 306900),
    "D7": (1536, 7, 5.0, 441936),
    "D7x": (1536, 8, 4.0, 442260),
    "Lite0": (320, 7, 3.0, 19206),
    "Lite1": (384, 7, 3.0, 27621),
    "Lite2": (448, 7, 3.0, 37629),
    "Lite3": (512, 7, 4.0, 49104),
    "Lite3x": (640, 7, 3.0, 76725),
    "Lite4": (640, 7, 4.0, 76725),
}

RELEASED_ANCHORS = Anchors()


def made(size, coarsest=7, anchors=RELEASED_ANCHORS):
    levels = range(3, coarsest + 1)
    maps = [tuple(-(-side // 2**level) for side in size) for level in levels]
    return anchor_boxes(anchors, levels, size, maps)


def peer(size, coarsest=7, scale=4.0):
    aspects = [(1.0, 1.0), (1.4, 0.7), (0.7, 1.4)]
    return effdet().anchors.Anchors(3, coarsest, 3, aspects, scale, size).boxes[:, [1, 0, 3, 2]]


@pytest.mark.parametrize("name", RELEASED)
def test_every_released_detector_has_its_anchors_to_the_last_bit(name):
    side, coarsest, scale, total = RELEASED[name]
    boxes = made((side, side), coarsest, Anchors(scale=scale))
    assert boxes.shape == (total, 4)
    assert torch.equal(boxes, peer((side, side), coarsest, scale))


@pytest.mark.parametrize("size", [(224, 352), (300, 500), (37, 1000)])
def test_rectangles_of_any_size_too(size):
    torch.testing.assert_close(made(size), peer(size), rtol=0, atol=1e-3)


def test_the_first_anchors_in_sight():
    # stride 8, scale 4: sides 32 x 2^(0, 1/3, 2/3), centre (4, 4); aspects within an octave
    boxes = made((512, 512))[:4]
    wide, high = 32 * 1.4, 32 * 0.7
    expected = [[-12, -12, 20, 20], [4 - wide / 2, 4 - high / 2, 4 + wide / 2, 4 + high / 2]]
    torch.testing.assert_close(boxes[:2], torch.tensor(expected))
    torch.testing.assert_close(boxes[3, 2] - boxes[3, 0], torch.tensor(32 * 2 ** (1 / 3)))


def test_columns_come_before_rows():
    boxes = made((512, 512))
    centres = (boxes[:, :2] + boxes[:, 2:]) / 2
    np.testing.assert_allclose(centres[[0, 9, 9 * 64]], [[4, 4], [12, 4], [4, 12]], atol=1e-5)


def test_the_stride_is_image_over_map_on_each_axis():
    (box,) = anchor_boxes(Anchors(4.0, (0.0,), ((1.0, 1.0),)), [7], (320, 100), [(1, 1)])
    assert box.tolist() == [50 - 200, 160 - 640, 50 + 200, 160 + 640]


@pytest.mark.parametrize(
    ("levels", "maps", "said"), [([3, 4], [(8, 8)], "2 levels"), ([5], [(0, 3)], "level 5 has no pixels")]
)
def test_levels_and_maps_that_disagree_are_refused(levels, maps, said):
    with pytest.raises(SpecError, match=said):
        anchor_boxes(Anchors(), levels, (64, 64), maps)
