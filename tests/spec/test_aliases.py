import pytest

from tests import peers
from tests.golden import golden
from triscale.errors import SpecError
from triscale.spec.aliases import ALIASES, without_tag
from triscale.spec.cost import cost
from triscale.spec.families import NETWORKS, is_network, network, own_name, preprocessing
from triscale.spec.network import Numerics
from triscale.spec.owners import TORCHVISION_READS

NATIVE, MOBILE = Numerics("symmetric", 1e-5, 0.1), Numerics("symmetric", 1e-3, 0.01)


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_one_of_our_networks_with_a_name_of_its_own(alias):
    assert alias not in NETWORKS
    own, named = network(ALIASES[alias].network), network(alias)
    assert named.name == alias
    assert (named.stem, named.stages, named.head) == (own.stem, own.stages, own.head)
    assert cost(named) == cost(own)
    assert preprocessing(alias).channels == 3


# (peer's name, our network, padding and eps as the peer's module has them)
EXAMPLES = [
    ("efficientnet_es", "efficientnet_edgetpu_s", NATIVE),
    ("tf_efficientnet_es", "tf_efficientnet_edgetpu_s", Numerics("same", 1e-3, 0.01)),
    ("efficientnet_v2_s", "efficientnetv2_s", Numerics("symmetric", 1e-3, 0.1)),
    ("mnasnet_100", "mnasnet_b1", NATIVE),
    ("semnasnet_100", "mnasnet_a1", NATIVE),
    ("mnasnet1_0", "mnasnet_b1", Numerics("symmetric", 1e-5, 1 - 0.9997)),
    ("mobilenetv2_100", "mobilenet_v2", NATIVE),
    ("mobilenetv3_large_100", "mobilenet_v3_large", NATIVE),
    ("tf_mobilenetv3_large_100", "mobilenet_v3_large", Numerics("same", 1e-3, 0.01)),
    ("mobilenet_v3_small", "mobilenet_v3_small", MOBILE),
    ("resnet50", "resnet50", NATIVE),
]


@pytest.mark.parametrize(("alias", "own", "numerics"), EXAMPLES)
def test_a_name_of_another_library_has_that_librarys_numerics(alias, own, numerics):
    assert own_name(alias) == own
    assert network(alias).numerics == numerics


@pytest.mark.parametrize(
    ("name", "plain"),
    [
        ("efficientnet_b0.ra_in1k", "efficientnet_b0"),
        ("tf_efficientnet_l2.ns_jft_in1k_475", "tf_efficientnet_l2"),
        ("tf_efficientnetv2_s.in21k", "tf_efficientnetv2_s"),
        ("resnet50.fb_ssl_yfcc100m_ft_in1k", "resnet50"),
        ("efficientnet_b0.onnx", "efficientnet_b0.onnx"),
        ("efficientnet_b0.pt", "efficientnet_b0.pt"),
    ],
)
def test_a_tag_of_pretrained_weights_is_cut_and_the_end_of_a_files_name_is_not(name, plain):
    assert without_tag(name) == plain
    assert is_network(name) == (name != plain)


def test_a_tagged_name_makes_the_network_without_the_tag():
    assert network("efficientnet_b0.ra_in1k") == network("efficientnet_b0")
    assert network("efficientnet_b0.ra_in1k").name == "efficientnet_b0"


@pytest.mark.parametrize(
    ("wrong", "near"),
    [
        ("mobilenetv3_large_10", "mobilenetv3_large_100"),
        ("semnasnet_10.in1k", "semnasnet_100"),
        ("resnet-50", "resnet50"),
    ],
)
def test_an_unknown_name_is_answered_with_the_nearest_of_names_and_aliases(wrong, near):
    with pytest.raises(SpecError, match=f"no network is called '{wrong}'; did you mean .*{near}"):
        network(wrong)


def test_torchvisions_ways_of_reading_photographs_are_the_published_ones():
    rows = {f"efficientnet_{key}": row for key, row in golden("classification")["torchvision_eval"].items()}
    ours = {name.replace("netv2", "net_v2"): reads for name, reads in TORCHVISION_READS.items()}
    for name in ("efficientnet_b0", "efficientnet_b2", "efficientnet_b7", "efficientnet_v2_s", "efficientnet_v2_l"):
        row, own = rows[name], ours[name]
        assert (own.pixels, own.resize, own.interpolation) == (row["crop"], row["resize"], row["interpolation"])
        assert own.preprocessing.mean[0] == row["mean"]
    assert preprocessing("efficientnet_v2_s") == ours["efficientnet_v2_s"].preprocessing


# What timm's modules compute, but which is no network of ours: other blocks, norms, or heads
NOT_OURS = (
    "_gn",
    "_evos",
    "_cc_",
    "_blur_",
    "_rw",
    "_pruned",
    "_h_b5",
    "_x_b3",
    "_x_b5",
    "small",
    "test_",
    "100h",
    "150d",
)


def test_every_name_that_timm_gives_to_these_families_is_known():
    timm = peers.timm()
    begins = ("efficientnet", "tf_efficientnet", "mobilenetv1", "mobilenetv2", "mnasnet", "semnasnet")
    names = [n for n in timm.list_models(module="efficientnet") if n.startswith(begins)]
    names += [n for n in timm.list_models(module="mobilenetv3") if "mobilenetv3" in n]
    missing = [n for n in names if not is_network(n)]
    assert [n for n in missing if not any(part in n for part in NOT_OURS)] == []
    kept = [n for n in names if is_network(n)]
    assert len(kept) == 76
    assert [n for n in timm.list_pretrained() if n.partition(".")[0] in kept and not is_network(n)] == []


def test_every_name_that_torchvision_gives_to_these_families_is_known():
    begins = ("efficientnet", "mobilenet", "mnasnet", "resnet", "wide_resnet")
    names = [n for n in peers.torchvision().models.list_models() if n.startswith(begins)]
    assert len(names) == 25
    assert [n for n in names if not is_network(n)] == []


def test_timms_older_names_are_known():
    peers.timm()
    from timm.models import _registry

    older = {old: new for old, new in _registry._deprecated_models.items() if is_network(new)}
    assert len(older) == 46
    assert {old: own_name(old) for old in older} == {old: own_name(new) for old, new in older.items()}
