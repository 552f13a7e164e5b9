"""The published recipes say what their owners' code and papers say."""

from dataclasses import replace

import pytest

from tests.golden import golden
from triscale.errors import TrainingError
from triscale.spec import families
from triscale.training.plan import plan_of
from triscale.training.recipes import BY_NETWORK, IMAGENET, RECIPES, recipe
from triscale.training.stage import stage_at

PUBLISHED = golden("training")


def test_the_first_generation_is_as_released():
    own, code = recipe("efficientnet-v1"), PUBLISHED["v1"]
    assert (own.epochs, own.batch_size) == (code["epochs"], code["batch"]) == (350, 2048)
    assert (own.learning_rate, own.warmup_epochs) == (code["lr"]["base_per_256"], code["lr"]["warmup_epochs"])
    assert (own.schedule, own.decay_rate, own.decay_epochs) == ("staircase", 0.97, 2.4)
    assert plan_of(own, IMAGENET).learning_rate == pytest.approx(code["lr"]["at_batch_2048"])
    assert (own.optimiser, own.momentum) == ("rmsprop_tf", code["optimizer"]["momentum"])
    assert own.weight_decay == code["weight_decay"]["value"]
    assert own.decay_biases
    assert own.ema_decay == code["ema"]["decay"] == 0.9999
    assert own.label_smoothing == code["label_smoothing"] == 0.1
    assert 1 - own.drop_connect == pytest.approx(code["survival_prob"])
    assert own.norm_momentum == pytest.approx(1 - PUBLISHED["v1_bn_momentum_tf"])
    assert own.augmentation.autoaugment
    assert own.augmentation.crop_area == tuple(code["crop"]["area"])
    assert (own.mixup, own.cutmix, own.progressive) == (0, 0, None)


@pytest.mark.parametrize(("network", "fact"), [("b5", "B5"), ("b7", "B7_and_B8"), ("b8", "B7_and_B8")])
def test_large_networks_of_the_first_generation_get_randaugment(network, fact):
    own, code = recipe("efficientnet-v1", f"tf_efficientnet_{network}").augmentation, PUBLISHED["v1"]["randaugment"]
    assert (own.randaugment_layers, own.randaugment_magnitude) == (code[fact]["layers"], code[fact]["magnitude"])
    assert not own.autoaugment


def test_the_second_generation_is_as_released():
    own, code = recipe("efficientnet-v2"), PUBLISHED["v2"]
    assert (own.epochs, own.batch_size) == (code["epochs"], code["batch"]) == (350, 4096)
    assert plan_of(own, IMAGENET).learning_rate == pytest.approx(0.256)
    assert (own.decay_rate, own.decay_epochs) == (code["lr"]["decay_factor"], code["lr"]["decay_epochs"])
    assert own.weight_decay == code["weight_decay"]["value"]
    assert not own.decay_biases
    assert own.norm_momentum == pytest.approx(1 - code["bn"]["momentum_tf"])
    assert own.augmentation.randaugment_layers == code["randaugment_layers"]
    assert own.augmentation.crop_area == tuple(code["random_crop_area"])


@pytest.mark.parametrize(("size", "fact"), [("s", "S"), ("m", "M"), ("l", "L"), ("xl", "XL")])
def test_stages_of_the_second_generation_are_as_released(size, fact):
    network = f"tf_efficientnetv2_{size}"
    own, code = recipe("efficientnet-v2", network), PUBLISHED["progressive_released"]
    stages = stages_of(own, network)
    assert [stage.size for stage in stages] == [(side, side) for side in code["sizes"][fact]]
    most = code["max"][fact]
    assert [stage.augmentation.randaugment_magnitude for stage in stages] == pytest.approx(
        [5, 5 + (most["randaugment"] - 5) / 3, 5 + (most["randaugment"] - 5) * 2 / 3, most["randaugment"]]
    )
    assert [stage.mixing.mixup for stage in stages] == pytest.approx([most["mixup"] * i / 3 for i in range(4)])
    assert [stage.mixing.cutmix for stage in stages] == pytest.approx([most["cutmix"] * i / 3 for i in range(4)])
    assert {stage.dropout for stage in stages} == {None}  # the network's own in every stage, as the code does
    assert families.network(network).head.dropout == most["dropout"]


@pytest.mark.parametrize("size", ["b0", "b1", "b2", "b3"])
def test_small_networks_of_the_second_generation_grow_with_autoaugment(size):
    network = f"tf_efficientnetv2_{size}"
    stages = stages_of(recipe("efficientnet-v2", network), network)
    sides = PUBLISHED["progressive_released"]["sizes"][size.upper()]
    assert [stage.size for stage in stages] == [(side, side) for side in sides]
    assert all(stage.augmentation.autoaugment and not stage.augmentation.randaugment_layers for stage in stages)


@pytest.mark.parametrize(("size", "fact"), [("s", "S"), ("m", "M"), ("l", "L")])
def test_first_and_last_stage_are_those_of_the_papers_table_6(size, fact):
    own, table = recipe("efficientnet-v2-paper", f"efficientnetv2_{size}"), PUBLISHED["progressive_paper"][fact]
    last_size = table["size"][1]
    first, last = stage_at(own, 0, 350, (last_size,) * 2), stage_at(own, 349, 350, (last_size,) * 2)
    for stage, place in ((first, 0), (last, 1)):
        assert stage.size == (table["size"][place],) * 2
        assert stage.augmentation.randaugment_magnitude == table["randaugment"][place]
        assert stage.mixing.mixup == table["mixup"][place]
        assert stage.dropout == table["dropout"][place]
        assert stage.mixing.cutmix == 0


def stages_of(own, network):
    """The four stages of 350 epochs, at the network's own training size."""
    full = families.preprocessing(network).train_size
    found = [stage_at(own, epoch, own.epochs, full) for epoch in range(own.epochs)]
    assert [found.index(stage) for stage in dict.fromkeys(found)] == [0, 88, 175, 263]  # 87 or 88 epochs each
    return list(dict.fromkeys(found))


def test_recipes_of_networks_belong_to_networks_that_there_are():
    for name, own in BY_NETWORK.items():
        assert name in RECIPES
        assert all(families.network(network) for network in own)


@pytest.mark.parametrize("name", RECIPES)
def test_another_network_takes_the_recipe_as_it_is(name):
    assert recipe(name, "resnet50") == recipe(name) == RECIPES[name]


def test_a_published_recipe_on_a_small_set_says_that_it_is_none():
    said = plan_of(recipe("efficientnet-v2"), 4000).notes
    assert said[-1] == (
        "this recipe was made for 1,281,167 images, where 350 epochs are 109,200 steps; 4,000 images give 350: "
        "do not expect its published accuracy, small-data is for few images"
    )
    assert not any("was made for" in note for note in plan_of(recipe("efficientnet-v2"), 200_000).notes)
    assert not any("was made for" in note for note in plan_of(recipe("small-data"), 100).notes)


def test_stairs_say_where_they_end():
    said = plan_of(replace(recipe("efficientnet-v1"), epochs=24, batch_size=256), 2560).notes
    assert "times 0.97 every 2.4 epochs: the last learning rate is 0.0122" in said  # 0.016 * 0.97^9


def test_stages_that_find_no_epoch_are_said():
    said = plan_of(replace(recipe("efficientnet-v2"), epochs=3), IMAGENET).notes
    assert "the first 1 of 4 stages are left out: 3 epochs" in said


def test_an_unknown_name_is_refused_with_those_there_are():
    with pytest.raises(
        TrainingError, match="unknown recipe 'imagenet'; choose one of efficientnet-v1, efficientnet-v2"
    ):
        recipe("imagenet")


def test_efficientdet_is_as_released():
    """google/automl efficientdet: hparams_config.py, det_model_fn.py; EfficientDet, section 5.1."""
    own, images = recipe("efficientdet"), 118_287
    plan = plan_of(own, images)
    assert (plan.batch_size, plan.epochs, plan.warmup_steps) == (64, 300, plan.steps_per_epoch)
    assert plan.learning_rate == pytest.approx(0.08)
    assert (own.optimiser, own.momentum, own.weight_decay, own.clip, own.ema_decay) == ("sgd", 0.9, 4e-5, 10.0, 0.9998)
    loss, seen = own.detection.loss, own.detection.augmentation
    assert (loss.alpha, loss.gamma, loss.smoothing, loss.delta, loss.box_weight) == (0.25, 1.5, 0.0, 0.1, 50.0)
    assert (loss.overlap, seen.scale, seen.flip, seen.mosaic, seen.shift) == (None, (0.1, 2.0), 0.5, 0.0, False)
    assert plan_of(own, 1000).notes[-1].endswith("do not expect its published accuracy, detection is for few images")
