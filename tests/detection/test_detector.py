import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from tests.detection.helpers import small_detector, small_model
from tests.models.helpers import SAME, answer, photos
from tests.spec.strategies import detectors
from triscale.detection.create import create_detector
from triscale.detection.detector import DetectorNet
from triscale.errors import SpecError
from triscale.spec.cost import cost
from triscale.spec.detector import Heads
from triscale.spec.detector_parts import level_sizes
from triscale.spec.families.efficientdet import detector, list_detectors
from triscale.spec.network import Numerics
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.pyramids import PYRAMIDS, bifpn
from triscale.training.deterministic import deterministic

EXPORTED = ("nas_fpn", "bifpn")  # which between them do all that the others do
ANY_SIZES = [(224, 352), (300, 500)]


@pytest.mark.parametrize("name", list_detectors())
def test_released_detectors_have_the_parameters_that_arithmetic_says(name):
    model = DetectorNet(detector(name), device="meta")
    assert sum(p.numel() for p in model.parameters()) == cost(model.detector).params == model.costs((512, 512))[0]


@pytest.mark.parametrize("kind", PYRAMIDS)
@pytest.mark.parametrize("size", ANY_SIZES)
def test_every_pyramid_answers_for_every_anchor_at_any_size(kind, size):
    model = small_model(pyramid=PYRAMIDS[kind](16, 2))
    logits, offsets = answer(model, photos(*size, count=2))
    sizes = level_sizes(model.detector.pyramid, size)
    anchors = 6 * sum(height * width for height, width in sizes)
    assert (logits.shape, offsets.shape) == ((2, anchors, 5), (2, anchors, 4))
    assert model.anchors(size).shape == (anchors, 4)
    assert torch.isfinite(logits).all() and torch.isfinite(offsets).all()


@pytest.mark.parametrize("kind", PYRAMIDS)
@pytest.mark.parametrize("fusion", ["fast", "softmax", "sum"])
def test_every_pyramid_trains_with_every_fusion(kind, fusion):
    torch.manual_seed(0)
    model = DetectorNet(small_detector(pyramid=PYRAMIDS[kind](16, 2, fusion=fusion))).train()
    logits, offsets = model(photos(64, 96, count=2))
    (logits.square().sum() + offsets.square().sum()).backward()
    used = [name for name, p in model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert any(".weights" in name for name in used) == (fusion != "sum" and bool(model.detector.pyramid.nodes))


@settings(max_examples=25)
@given(detectors, st.integers(1, 80), st.integers(1, 80))
def test_any_detector_runs_on_any_image(made, height, width):
    torch.manual_seed(0)
    model = DetectorNet(made).eval()
    logits, offsets = answer(model, photos(height, width, channels=made.in_channels))
    count = len(model.anchors((height, width)))
    assert (logits.shape, offsets.shape) == ((1, count, made.classes), (1, count, 4))


@pytest.mark.parametrize("kind", [k if k in EXPORTED else pytest.param(k, marks=pytest.mark.slow) for k in PYRAMIDS])
def test_every_pyramid_is_exported_with_the_same_answers(kind):
    model, images = small_model(pyramid=PYRAMIDS[kind](16, 1)), photos(100, 140)
    exported = torch.export.export(model, (images,)).module()
    for found, expected in zip(answer(exported, images), answer(model, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


def test_answers_with_and_without_gradients_are_the_same_in_both_memory_layouts():
    model, images = small_model(), photos(96, 128, count=2)
    expected = [each.detach() for each in model(images)]
    for made in (answer(model, images), answer(model, images.to(memory_format=torch.channels_last))):
        for found, wanted in zip(made, expected, strict=True):
            torch.testing.assert_close(found, wanted, rtol=1e-5, atol=1e-5)


def test_a_step_of_training_is_the_same_twice():
    gradients = []
    for _ in range(2):
        with deterministic(True):
            model = small_model(seed=3).train()
            logits, offsets = model(photos(96, 96, count=2))
            (logits.sigmoid().sum() + offsets.square().sum()).backward()
        gradients.append([p.grad for p in model.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))


def test_a_fresh_class_head_gives_every_class_its_prior():
    model = DetectorNet(small_detector(heads=Heads(1, prior=0.05)))
    assert model.class_head.final.bias.tolist() == pytest.approx([-math.log(0.95 / 0.05)] * 30)
    assert model.box_head.final.bias.tolist() == [0] * 24
    released = create_detector("efficientdet_d0")
    assert released.class_head.final.bias[0].item() == pytest.approx(-4.59511985)  # facts: class_head_bias_init


def test_heads_share_convolutions_over_levels_but_not_batchnorms():
    head = small_model().class_head
    assert len([m for m in head.modules() if isinstance(m, nn.BatchNorm2d)]) == 2 * 5
    assert len([m for m in head.modules() if isinstance(m, nn.Conv2d)]) == 2 * 2 + 2


def test_levels_are_the_order_of_answers():
    """What one level's map holds moves only that level's answers."""
    model = small_model(pyramid=PYRAMIDS["ssd"](16, 1, levels=(3, 5)))
    maps = model.backbone.features(photos(64, 64))
    levels = model.pyramid([maps[8], maps[16], maps[32]])
    before = model.class_head(levels)
    after = model.class_head([levels[0], levels[1] + 1, levels[2]])
    moved = (before != after).any(2)[0].nonzero().flatten().tolist()
    assert moved == list(range(64, 64 + 16))  # pixels of levels 3, 4 and 5: 64, 16, 4


def test_numerics_and_biases_can_be_others():
    model = small_model()
    symmetric = Numerics("symmetric", 1e-4, 0.2)
    model.set_numerics(symmetric, backbone=Numerics())
    assert (model.detector.numerics, model.detector.backbone.numerics) == (symmetric, Numerics())
    assert {m.eps for m in model.pyramid.modules() if isinstance(m, nn.BatchNorm2d)} == {1e-4}
    same = DetectorNet(model.detector)
    same.load_state_dict(model.state_dict())
    images = photos(96, 96)
    assert torch.equal(answer(same.eval(), images)[0], answer(model, images)[0])

    model.set_redundant_bias(False)
    assert sum(p.numel() for p in model.parameters()) == cost(model.detector).params
    model.set_redundant_bias(True)
    assert sum(p.numel() for p in model.parameters()) == cost(model.detector).params
    assert model.detector.redundant_bias


def test_anchors_are_kept_for_the_last_sizes():
    model = small_model()
    first = model.anchors((64, 64))
    assert model.anchors(64) is first
    for side in range(96, 106):
        model.anchors(side)
    assert len(model._anchors) == 8
    assert torch.equal(model.anchors(64), first)


def test_anchors_that_a_prediction_made_serve_training():
    model = small_model()
    with torch.inference_mode():
        anchors = model.anchors(64)
    scale = torch.ones((), requires_grad=True)
    (model.anchors(64) * scale).sum().backward()  # which keeps the anchors for the backward pass
    assert model.anchors(64) is anchors
    torch.testing.assert_close(scale.grad, anchors.sum())


def test_a_model_says_what_training_asks_of_it():
    model = small_model()
    assert (model.name, model.outputs, model.in_channels) == ("small", 5, 3)
    assert model.get_submodule(model.classifier()).out_channels == 5 * 6
    named = [name for name, _ in model.stages_in_order()]
    assert named[:2] == ["backbone.stem", "backbone.stages.0"]
    assert named[-4:] == ["pyramid.cells.0", "pyramid.cells.1", "class_head", "box_head"]
    weights = {id(p) for _, part in model.stages_in_order() for p in part.parameters()}
    assert weights == {id(p) for p in model.parameters()}
    (note,) = model.regularise(0.3, 0.1)
    assert "no dropout" in note
    assert model.detector.backbone.drop_connect == 0.1
    fixed = photos(96, 96)
    expected = answer(model, fixed)[0]
    model.fixed(96)
    assert torch.equal(answer(model, fixed)[0], expected)
    with pytest.raises(SpecError, match="fixed to images of 96x96"):
        model(photos(96, 97))


def test_preprocessing_reads_the_whole_photograph_and_other_channels_are_refused():
    model = DetectorNet(small_detector())
    assert (model.preprocessing.fit, model.preprocessing.fill, model.preprocessing.size) == (
        "letterbox",
        None,
        (96, 96),
    )
    with pytest.raises(SpecError, match="reads 3 channels, but its preprocessing makes 1"):
        DetectorNet(small_detector(), Preprocessing(mean=(0.5,), std=(0.5,)))


def test_nothing_that_others_read_is_overwritten():
    """A node's activation works in place: one whose only input is another's too must work on a copy."""
    edges = PYRAMIDS["panet"](16, 1, fusion="sum")
    cell = small_model(pyramid=edges, numerics=SAME).pyramid.cells[0]
    maps = [torch.randn(1, 16, side, side) for side in (12, 6, 3, 2, 1)]
    cell.passes.clear()
    for node in cell.nodes:
        node.projections.clear()
    copies = [each.clone() for each in maps]
    with torch.no_grad():
        cell(maps)
    assert all(torch.equal(each, copy) for each, copy in zip(maps, copies, strict=True))


def test_fast_fusion_is_the_papers():
    node = DetectorNet(small_detector(pyramid=bifpn(16, 2))).pyramid.cells[1].nodes[0]
    node.weights.data = torch.tensor([-1.0, 3.0])  # relu: 0 and 3
    fine, coarse = torch.randn(1, 16, 4, 4), torch.randn(1, 16, 2, 2)
    expected = coarse.repeat_interleave(2, 2).repeat_interleave(2, 3) * (3 / (3 + 1e-4))
    torch.testing.assert_close(node._fuse([fine, coarse], (4, 4)), expected)
