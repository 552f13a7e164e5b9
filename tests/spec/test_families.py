import pytest

from tests.golden import golden
from triscale.errors import SpecError
from triscale.spec.cost import cost
from triscale.spec.families import list_networks, network, preprocessing
from triscale.spec.network import Numerics
from triscale.spec.preprocessing import Preprocessing

CLASSIFICATION = golden("classification")
NETWORKS, SHARED = CLASSIFICATION["networks"], CLASSIFICATION["shared"]
V1 = [f"efficientnet_{suffix}" for suffix in ("b0", "b1", "b2", "b3", "b4", "b5", "b6", "b7", "b8", "l2")]
LITE = [f"efficientnet_lite{size}" for size in range(5)]
BOTH = [prefix + name for name in V1 + LITE for prefix in ("", "tf_")]


def test_the_names_are_those_of_the_ecosystem():
    assert set(list_networks()) >= {*BOTH, "mobilenet_v3_large", "detnas_coco_fpn_300m"}


def test_the_golden_counts_of_b0_are_the_known_ones():
    assert cost(network("efficientnet_b0")).params == 5_288_548
    assert cost(network("efficientnet_b0")).macs == 385_814_752


@pytest.mark.parametrize("name", NETWORKS)
def test_widths_and_repeats_are_the_released_ones(name):
    row, net = NETWORKS[name], network(name)
    if "stem" in row:  # V2-S to XL have no scaling; their stages are compared below
        assert net.stem.channels == row["stem"]
        assert [each.channels for each in net.stages] == row["channels"]
        assert [len(each.blocks) for each in net.stages] == row["repeats"]
    assert sum(1 for _ in net.placed_blocks()) == row["blocks"]
    assert net.head.channels == row["head"]
    assert net.head.dropout == row["dropout"]
    assert net.resolution == (row["resolution"], row["resolution"])
    assert net.drop_connect == 0.2


OPERATORS = {"MBConv": "mbconv", "M": "mbconv", "F": "fused", "ER": "fused"}
BASELINES = {
    "efficientnet": "efficientnet_b0",
    "efficientnet_edgetpu": "efficientnet_edgetpu_s",
    "efficientnetv2_b": "efficientnetv2_b0",
    **{f"efficientnetv2_{size}": f"efficientnetv2_{size}" for size in ("s", "m", "l", "xl")},
}


@pytest.mark.parametrize("family", BASELINES)
def test_the_stages_of_a_baseline_are_the_rows_that_its_owner_prints(family):
    rows = [row for key, row in CLASSIFICATION["stages"][family].items() if key.isdigit()]
    for row, own in zip(rows, network(BASELINES[family]).stages, strict=True):
        first = own.blocks[0]
        assert (first.kind, first.kernel, first.stride, first.expand, own.channels, len(own.blocks)) == (
            OPERATORS[row["op"]], row["k"], row["s"], row["e"], row["c"], row["r"]
        )  # fmt: skip
        assert (first.squeeze.ratio if first.squeeze else 0) == row["se"]
        assert first.skip == row.get("skip", True)


@pytest.mark.parametrize("name", ["efficientnet_edgetpu_s", "efficientnet_edgetpu_m", "efficientnet_edgetpu_l"])
def test_edgetpus_first_stage_expands_to_four_times_its_own_width_and_never_adds_its_input(name):
    first, *others = list(network(name).placed_blocks())
    assert first.block.hidden_channels(first.in_channels) == 4 * first.block.channels
    assert not any(each.block.has_residual(each.in_channels) for each in (first, *others) if each.stage == 0)


@pytest.mark.parametrize("name", [*V1, *LITE])
def test_batch_norm_statistics_are_two_numbers_for_every_normalised_channel(name):
    layers = cost(network(name)).layers
    normalised = sum(
        layer.output[0]
        for layer in layers
        if layer.macs and layer.operation not in ("squeeze reduce", "squeeze expand", "classifier")
    )
    assert 2 * normalised == NETWORKS[name]["bn_stats"]


def test_mobilenet_v3_large_is_written_as_data_with_its_published_counts():
    row, own = CLASSIFICATION["baselines"]["mobilenet_v3_large"], cost(network("mobilenet_v3_large"))
    assert (own.params, own.macs) == (row["params"], row["macs"]) == (5_483_032, 216_589_760)


def test_a_network_that_detnas_found_is_written_as_data_with_its_published_counts():
    row, net = golden("detnas")["networks"]["COCO-FPN-300M"], network("detnas_coco_fpn_300m")
    with_classifier = cost(net)
    assert (with_classifier.params, with_classifier.macs) == tuple(row["with_classifier"].values())
    trunk = [layer for layer in with_classifier.layers if layer.where != "head"]
    backbone = sum(layer.params for layer in trunk), sum(layer.macs for layer in trunk)
    assert backbone == tuple(row["backbone"].values()) == (1_849_680, 288_082_368)


def test_a_name_fixes_the_numerics_as_its_owner_does():
    google = SHARED["efficientnet"]["bn"]
    assert network("efficientnet_b0").numerics == Numerics("symmetric", 1e-5, 0.1)
    assert network("tf_efficientnet_b0").numerics == Numerics("same", google["eps"], google["momentum_pytorch"])
    v2 = SHARED["efficientnetv2"]["bn"]
    assert network("tf_efficientnetv2_s").numerics == Numerics("same", v2["eps"], v2["momentum_pytorch"])
    assert network("mobilenet_v3_large").numerics == Numerics("symmetric", 1e-3, 0.01)  # torchvision's
    timm = CLASSIFICATION["bn_pytorch"]["timm_non_tf_models"]
    assert network("efficientnet_lite0").numerics == Numerics("symmetric", timm["eps"], timm["momentum"])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("efficientnet-b0", "no network is called 'efficientnet-b0'; did you mean efficientnet_b0"),
        ("EfficientNet_Lite0", "did you mean .*efficientnet_lite0"),
        ("qqq", "no network is called 'qqq'; `triscale list` shows all names"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest(name, message):
    with pytest.raises(SpecError, match=message):
        network(name)


@pytest.mark.parametrize("name", ["efficientnet_b0", "tf_efficientnet_b4"])
def test_v1_photographs_are_cropped_bicubic_and_normalised_as_imagenet(name):
    own, shared = preprocessing(name), SHARED["efficientnet"]
    assert (list(own.mean), list(own.std), own.interpolation) == (shared["mean"], shared["std"], "bicubic")
    assert own.size == network(name).resolution
    assert own.crop == pytest.approx(own.size[0] / (own.size[0] + 32), abs=1e-4)


def test_lite_photographs_are_x_minus_127_over_128():
    own, shared = preprocessing("efficientnet_lite0"), SHARED["efficientnet_lite"]
    assert [255 * m for m in own.mean] == pytest.approx([shared["mean_255"]] * 3)
    assert [255 * s for s in own.std] == pytest.approx([shared["std_255"]] * 3)


ELSEWHERE = {
    name: sizes for name, sizes in CLASSIFICATION["timm_native_train_test"].items() if name != "efficientnet_b0"
}


@pytest.mark.parametrize("name", [name for name in list_networks() if name not in ELSEWHERE])
def test_every_network_has_a_preprocessing_of_its_own_size_and_channels(name):
    assert preprocessing(name).size == network(name).resolution
    assert preprocessing(name).channels == network(name).in_channels


@pytest.mark.parametrize("name", ELSEWHERE)
def test_timm_trains_and_evaluates_its_own_b1_to_b4_elsewhere_and_keeps_the_whole_photograph(name):
    own, (train, evaluation) = preprocessing(name), ELSEWHERE[name]
    assert (own.train_size, own.size, own.crop) == ((train, train), (evaluation, evaluation), 1.0)
    assert network(name).resolution == preprocessing(f"tf_{name}").size  # Google's, and that of the golden counts


V2 = [name for name in NETWORKS if name.startswith("efficientnetv2")]


@pytest.mark.parametrize("name", V2)
def test_v2_is_trained_on_smaller_images_than_it_is_evaluated_on(name):
    assert preprocessing(f"tf_{name}").train_size == (NETWORKS[name]["train_resolution"],) * 2


@pytest.mark.parametrize("size", ["s", "m", "l", "xl"])
def test_large_v2_squashes_the_whole_photograph_to_x_minus_128_over_128(size):
    own = preprocessing(f"efficientnetv2_{size}")
    assert (own.fit, own.crop, own.interpolation) == ("squash", 1.0, "bilinear")
    assert [255 * value for value in (*own.mean, *own.std)] == pytest.approx([128] * 6)


def test_small_v2_reads_photographs_as_v1_does():
    v1, v2 = preprocessing("efficientnet_b0"), preprocessing("efficientnetv2_b0")
    assert (v2.mean, v2.std, v2.interpolation, v2.fit, v2.crop) == (v1.mean, v1.std, "bicubic", "crop", v1.crop)


def test_edgetpu_photographs_are_those_of_lite():
    assert preprocessing("efficientnet_edgetpu_s") == preprocessing("efficientnet_lite0")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size": 0}, "a size is a number of pixels"),
        ({"size": None}, "a size is a number of pixels"),
        ({"train_size": (224, 0)}, "a size is a number of pixels"),
        ({"mean": (0.5,)}, "Preprocessing.mean and std must be finite, as many, and std positive"),
        ({"mean": (), "std": ()}, "Preprocessing.mean and std"),
        ({"std": (0.2, 0.2, 0.0)}, "Preprocessing.mean and std"),
        ({"std": (0.2, 0.2, float("nan"))}, "Preprocessing.mean and std"),
        ({"mean": (0.5, 0.5, float("inf"))}, "Preprocessing.mean and std"),
        ({"interpolation": "lanczos"}, "Preprocessing.interpolation must be nearest, bilinear or bicubic"),
        ({"fit": "stretch"}, "Preprocessing.fit must be crop, squash or letterbox"),
        ({"crop": 0}, "Preprocessing.crop must be in 0..1, got 0"),
        ({"crop": float("nan")}, "Preprocessing.crop must be in 0..1, got nan"),
        ({"fill": 2.0}, "Preprocessing.fill must be in 0..1, got 2.0"),
    ],
)
def test_a_preprocessing_that_cannot_be_is_refused(wrong, message):
    with pytest.raises(SpecError, match=message):
        Preprocessing(**wrong)


def test_one_number_is_a_square():
    assert Preprocessing(size=96, train_size=64) == Preprocessing(size=(96, 96), train_size=(64, 64))
