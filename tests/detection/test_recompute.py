import copy

import pytest
import torch

from tests.detection.helpers import small_model
from tests.models.helpers import photos
from triscale.models.recompute import recomputing, segments
from triscale.spec.pyramids import PYRAMIDS


@pytest.mark.parametrize("by", ["block", "stage"])
@pytest.mark.parametrize("kind", ["bifpn", "ssd", "nas_fpn"])
def test_parts_that_are_computed_again_change_no_bit_of_a_step(kind, by):
    model = small_model(pyramid=PYRAMIDS[kind](16, 2)).train()
    made = []
    for way in (by, "none"):
        torch.manual_seed(2)  # of drop connect
        trained = copy.deepcopy(model)
        with recomputing(trained, way):
            logits, offsets = trained(photos(96, 96, count=2))
            (logits.sigmoid().sum() + offsets.square().sum()).backward()
        made.append([*(p.grad for p in trained.parameters()), *trained.buffers()])
    assert all(torch.equal(one, other) for one, other in zip(*made, strict=True))


def test_pyramid_and_heads_are_among_them():
    names = list(segments(small_model(), "block"))
    assert {"backbone.stem.0", "pyramid.cells.1.nodes.7", "class_head.layers.0", "box_head.layers.1"} <= set(names)
