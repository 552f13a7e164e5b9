from dataclasses import replace

import pytest
import torch
from torch import nn

from tests.models.helpers import SAME, answer, photos, small_model, small_network
from triscale.errors import SpecError
from triscale.models.assembler import ConvNet, default_preprocessing
from triscale.spec.block import Block, Squeeze
from triscale.spec.families import network
from triscale.spec.network import Head, Numerics, Stem, stage
from triscale.spec.preprocessing import Preprocessing
from triscale.spec.scaling import lowres


def test_the_answer_has_a_row_for_each_image_and_a_column_for_each_class():
    assert answer(small_model(), photos(33, 47, 3)).shape == (3, 5)


def test_without_a_head_the_answer_is_the_last_feature_map():
    assert answer(small_model(head=None), photos(33, 47)).shape == (1, 24, 5, 6)


def test_feature_maps_come_by_stride_and_survive_the_blocks_after_them():
    model = small_model()
    images = photos(33, 47)
    with torch.inference_mode():
        maps = model.features(images)
        first = model.stages[0](model.stem(images))
    assert {stride: tuple(each.shape[1:]) for stride, each in maps.items()} == {
        2: (8, 17, 24),
        4: (16, 9, 12),
        8: (24, 5, 6),
    }
    assert torch.equal(maps[2], first)


def test_the_feature_maps_of_b0_are_at_five_strides():
    maps = (
        ConvNet(network("efficientnet_b0"), device="meta").eval().features(torch.empty(1, 3, 224, 224, device="meta"))
    )
    assert {stride: each.shape[1] for stride, each in maps.items()} == {2: 16, 4: 24, 8: 40, 16: 112, 32: 320}


@pytest.mark.parametrize("size", [(32, 32), (33, 47), (50, 31)])
@pytest.mark.parametrize("pool", [True, False])
def test_fixing_the_size_changes_no_value(size, pool):
    model = small_model(stem=Stem(8, pool=pool))
    images = photos(*size)
    before = answer(model, images)
    model.fixed(size)
    assert torch.equal(answer(model, images), before)


def test_a_fixed_network_refuses_other_sizes_until_it_is_freed():
    model = small_model()
    model.fixed(32)
    with pytest.raises(SpecError, match="was fixed to images of 32x32 pixels, got 32x48"):
        model(photos(32, 48))
    model.fixed(None)
    assert answer(model, photos(32, 48)).shape == (1, 5)


def test_a_symmetric_network_pads_every_size_alike_and_takes_any_after_fixing():
    model = small_model(numerics=Numerics())
    model.fixed(32)
    assert answer(model, photos(32, 48)).shape == (1, 5)


def test_numerics_can_change_under_the_same_weights():
    model = small_model()
    same = answer(model, photos(32, 32))
    model.set_numerics(Numerics("symmetric", 1e-5, 0.1))
    assert model.network == small_network(numerics=Numerics("symmetric", 1e-5, 0.1))
    assert not torch.allclose(answer(model, photos(32, 32)), same)
    model.set_numerics(SAME)
    assert torch.equal(answer(model, photos(32, 32)), same)


def test_weights_fit_the_form_for_small_images():
    model = small_model()
    small = ConvNet(lowres(model.network, 16)).eval()
    assert small.network.stem.stride == 1
    small.load_state_dict(model.state_dict())
    assert answer(small, photos(16, 16)).shape == (1, 5)


def test_fresh_weights_follow_the_published_rules_and_begin_quietly():
    torch.manual_seed(0)
    model = ConvNet(replace(network("efficientnet_b0"), classes=100))
    depthwise, project = model.stages[5][1].depthwise.conv.weight, model.stages[5][1].project.conv.weight
    assert depthwise.std().item() == pytest.approx((2 / 25) ** 0.5, rel=0.03)
    assert project.std().item() == pytest.approx((2 / 192) ** 0.5, rel=0.03)
    # +-1 / sqrt(100 classes) is the published rule; with few classes ours stays within +-1 / sqrt(1280 inputs).
    assert model.head.classifier.weight.abs().max().item() == pytest.approx(1280**-0.5, rel=0.01)
    assert model.head.classifier.bias.abs().max().item() == 0
    assert all(module.running_var.eq(1).all() for module in model.modules() if isinstance(module, nn.BatchNorm2d))


def test_the_same_seed_gives_the_same_weights():
    one, other = small_model(7), small_model(7)
    assert all(torch.equal(a, b) for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True))


def test_drop_connect_grows_linearly_over_the_blocks():
    model = ConvNet(small_network(drop_connect=0.5), device="meta")
    rates = [None if block.drop is None else block.drop.rate for stage in model.stages for block in stage]
    assert rates == [0.0, None, 0.2, None, 0.4]  # 0.5 x i / 5; strided blocks have no residual to drop


def test_training_reaches_every_parameter():
    model = small_model(stages=(stage(Block("mbconv", 8, 3, 2, 4, activation="swish"), 2),)).train()
    model(photos(16, 16, 4)).square().sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None] == []


@pytest.mark.parametrize("head", [Head(32), Head(None), Head(32, linear=16)])
def test_exports_with_any_batch_and_answers_the_same(head):
    model = small_model(head=head)
    images = photos(32, 32, 2)
    program = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim.DYNAMIC},))
    more = photos(32, 32, 3)
    torch.testing.assert_close(program.module()(more), answer(model, more))


def test_an_exported_graph_pads_its_images_not_its_weights():
    images = photos(32, 32, 2)
    program = torch.export.export(small_model(), (images,))
    pads = [node for node in program.graph.nodes if "pad" in str(node.target)]
    assert [str(node.args[0]) for node in pads] and all("weight" not in str(node.args[0]) for node in pads)


def test_a_trained_swish_beta_survives_the_export():
    model = small_model(stages=(stage(Block("mbconv", 8, 3, 2, 4, activation="swish"), 1),))
    torch.nn.init.constant_(model.stages[0][0].expand.act.beta, 2.5)
    images = photos(16, 16)
    program = torch.export.export(model, (images,))
    torch.testing.assert_close(program.module()(images), answer(model, images))
    assert program.state_dict["stages.0.0.expand.act.beta"].item() == 2.5


def test_compiles_as_one_graph_for_any_batch():
    model = small_model(stages=(stage(Block("mbconv", 8, 3, 2, 4, squeeze=Squeeze()), 2),))
    images = photos(32, 32, 2)
    torch._dynamo.mark_dynamic(images, 0)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(answer(compiled, images), answer(model, images))
    with torch.compiler.set_stance("fail_on_recompile"):
        torch.testing.assert_close(answer(compiled, photos(32, 32, 3)), answer(model, photos(32, 32, 3)))


def test_grey_images_need_grey_preprocessing():
    grey = small_network(in_channels=1)
    assert default_preprocessing(grey).channels == 1
    assert answer(ConvNet(grey).eval(), photos(32, 32, channels=1)).shape == (1, 5)
    with pytest.raises(SpecError, match="reads 1 channels, but its preprocessing makes 3"):
        ConvNet(grey, Preprocessing())


def test_nothing_is_allocated_on_the_meta_device():
    assert {p.device.type for p in ConvNet(network("efficientnet_l2"), device="meta").parameters()} == {"meta"}
    with torch.device("meta"):
        assert ConvNet(small_network()).stem[0].conv.weight.is_meta
