import pytest

from tests import peers
from tests.golden import golden
from triscale.spec.families import list_networks
from triscale.spec.published import RECIPES, SOURCES, TORCHVISION, best, figures

CLASSIFICATION = golden("classification")
ROWS = {
    name: row["top1"]
    for name, row in {**CLASSIFICATION["networks"], **CLASSIFICATION["baselines"]}.items()
    if "top1" in row
}

# How the golden file calls the weights -> how we do
V1 = dict(zip(("baseline", "aa", "ra", "advprop", "noisy_student"), RECIPES, strict=True))
WEIGHTS = {
    **V1,
    "noisy_student_at_475": "NoisyStudent",
    "top1_float": "float",
    "top1_int8": "int8",
    "top1_quantized": "int8",
    "top1": "ImageNet-1k",
    "top1_21k": "ImageNet-21k, then 1k",
    "in1k": "ImageNet-1k",
    "in21k_ft_in1k": "ImageNet-21k, then 1k",
    "v1": "IMAGENET1K_V1",
    "v2": "IMAGENET1K_V2",
}


def told(name, source):
    """{(top-1, weights)} of one source, papers together."""
    wanted = {each for each in SOURCES if each.endswith("paper")} if source == "paper" else {source}
    return {(each.top1, each.weights) for each in figures(name) if each.source in wanted}


@pytest.mark.parametrize("name", ROWS)
def test_every_published_top1_is_told_with_its_source(name):
    for golden_source, values in ROWS[name].items():
        source = "Google" if golden_source == "google" else golden_source
        published = {k: v for k, v in values.items() if k not in ("top5", "resolution", "top1_two_decimals")}
        assert {top1 for top1, _ in told(name, source)} >= set(published.values())
        if source == "Google" or name.startswith(("efficientnet_b", "efficientnetv2")):
            expected = {(top1, WEIGHTS[key]) for key, top1 in published.items() if source != "paper"}
            assert told(name, source) >= expected


@pytest.mark.parametrize("name", [name for name in ROWS if "top5" in ROWS[name].get("paper", {})])
def test_a_papers_top5_stands_beside_its_top1(name):
    paper = ROWS[name]["paper"]
    assert (paper["top1"], paper["top5"]) in {(each.top1, each.top5) for each in figures(name)}


@pytest.mark.parametrize("name", TORCHVISION)
def test_torchvisions_accuracies_are_those_in_its_weights(name):
    own = {"mnasnet_050": "mnasnet0_5", "mnasnet_075": "mnasnet0_75", "mnasnet_b1": "mnasnet1_0"}
    theirs = own.get(name, name.replace("efficientnetv2", "efficientnet_v2"))
    weights = {
        each.name: each.meta["_metrics"]["ImageNet-1K"] for each in peers.torchvision().models.get_model_weights(theirs)
    }
    expected = {key: (metrics["acc@1"], metrics["acc@5"]) for key, metrics in weights.items()}
    assert {f.weights: (f.top1, f.top5) for f in figures(name) if f.source == "torchvision"} == expected


def test_the_best_is_the_highest_and_says_what_it_was_trained_on():
    top = best("efficientnet_b7")
    assert (top.top1, top.source, top.weights, top.extra) == (86.9, "Google", "NoisyStudent", True)
    assert best("tf_efficientnet_b7") == top
    assert best("resnet50").top1 == 80.858
    assert best("detnas_coco_fpn_300m") is None


def test_every_figure_names_a_known_source_and_belongs_to_a_network():
    for name in list_networks():
        assert all(each.source in SOURCES and 50 < each.top1 < (each.top5 or 100) for each in figures(name))
    assert set(ROWS) <= {name for name in list_networks() if figures(name)}
