"""Which detector, for which budget and which objects."""

from dataclasses import replace
from pathlib import Path

import pytest

from triscale.data.detection.dataset import BoxDataset, BoxLabel, BoxSample
from triscale.errors import BudgetError, RunError
from triscale.fit.detection.choose import WantedSize, choose_detector, wanted_size, with_fitted_anchors
from triscale.fit.detection.record import read_choice, write_choice
from triscale.spec.cost import cost
from triscale.spec.limits import parse

KNOWN = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")
AT_320 = WantedSize(320, "because")


def samples(sides, size=(480, 640), crowd=False):
    """One image of each size, with a square object of each side."""
    return [BoxSample(Path("a.jpg"), size, tuple(BoxLabel(0, 0, side, side, 0, crowd) for side in sides))]


@pytest.mark.parametrize(
    ("sides", "size", "side"),
    [
        ([64] * 10, (480, 640), 224),  # a tenth of the longer side: 20 px of 200, the next multiple of 32
        ([32] * 10, (480, 640), 416),  # 20 px of 400
        ([8] + [64] * 19, (480, 640), 224),  # one of twenty is not told by
        ([300] * 10, (480, 640), 128),  # large objects: no less than 128
        ([6] * 10, (480, 640), 768),  # tiny ones: no more than 768
        ([8] * 10, (100, 150), 320),  # 375 px asked for; small images are not enlarged beyond twice their size
        ([], (480, 640), 128),
    ],
)
def test_the_size_follows_the_smallest_objects(sides, size, side):
    assert wanted_size(samples(sides, size)).side == side


def test_what_was_wanted_is_said():
    assert wanted_size(samples([32] * 10)).said == (
        "at 416 px nine of ten objects are at least 21 px large, on images of about 640 px"
    )
    assert wanted_size(samples([6] * 10)).said.endswith(
        "7 px large, on images of about 640 px; 2144 px would show them at 20 px"
    )


def test_crowds_do_not_count():
    assert wanted_size(samples([6] * 10, crowd=True)).side == 128


def choose(budget, known=KNOWN, wanted=AT_320):
    return choose_detector(parse(budget), 3, wanted, known)


def test_the_largest_inside_the_budget_on_a_trained_backbone_is_chosen():
    choice = choose("macs<=2G")
    chosen = choice.chosen
    assert (chosen.detector.name, chosen.weights) == ("efficientdet_lite2@320px", "efficientnet_lite2")
    assert (chosen.detector.resolution, chosen.detector.classes) == ((320, 320), 3)
    assert chosen.values["macs"] == cost(chosen.detector).macs <= 2e9
    assert (choice.rejected, choice.notes) == ((), ("because",))


def test_a_smaller_one_at_the_objects_size_comes_before_a_larger_one_below_it():
    choice = choose("macs<=1G")
    assert choice.chosen.detector.name == "efficientdet_lite0@320px"
    assert choice.chosen.values["macs"] <= 1e9
    reasons = {each.detector.name: each.reason for each in choice.rejected}
    assert reasons["efficientdet_lite2@320px"].startswith("over the budget: macs 1.5")
    lowered = next(
        name for name in reasons if name.startswith("efficientdet_lite2@") and name != "efficientdet_lite2@320px"
    )
    assert "would see the objects smaller" in reasons[lowered]


def test_resolution_is_lowered_before_weights_are_given_up():
    chosen = choose("macs<=600M").chosen
    assert chosen.weights == "efficientnet_lite0"
    assert 160 <= chosen.side < 320
    assert "stays nearest to the 320 px that the objects call for" in chosen.reason


@pytest.mark.parametrize(("budget", "known"), [("macs<=100M", KNOWN), ("macs<=2G", ())])
def test_without_a_trained_backbone_the_smallest_is_scaled_to_the_budget(budget, known):
    chosen = choose(budget, known).chosen
    assert chosen.weights is None
    limit = parse(budget).limits["macs"]
    assert limit * 0.8 < cost(chosen.detector).macs <= limit
    assert chosen.detector.classes == 3


def test_an_impossible_budget_names_the_smallest_that_can_be_reached():
    with pytest.raises(BudgetError, match="the smallest that can be reached has params"):
        choose("params<=5K")


def test_limits_that_are_measured_are_asked_for_and_held():
    asked = []

    def latency(detector):
        asked.append(detector.name)
        return cost(detector).macs / 1e11

    choice = choose_detector(parse("latency<=10ms"), 3, AT_320, KNOWN, {"latency": latency, "size": lambda _: 1.0})
    assert cost(choice.chosen.detector).macs <= 1e9
    assert choice.chosen.values["latency"] <= 0.01
    assert "efficientdet_lite2@320px" in asked


def test_anchors_are_fitted_where_more_objects_are_reached_and_cost_stays():
    choice = choose("macs<=1G")
    thin = [BoxSample(Path("a.jpg"), (480, 640), tuple(BoxLabel(9 * x, 0, 9 * x + 9, 90, 0) for x in range(40)))]
    made = with_fitted_anchors(choice, BoxDataset(Path(), ("post",), tuple(thin), (), (), ""))
    before, after = choice.chosen, made.chosen
    assert after.detector.anchors.per_location == before.detector.anchors.per_location
    assert replace(after.detector, anchors=before.detector.anchors) == before.detector
    assert (cost(after.detector), after.values) == (cost(before.detector), before.values)
    assert made.notes[:-1] == choice.notes
    assert "75.0% of them can be reached (0.0% with the released anchors)" in made.notes[-1]


def test_anchors_that_cannot_be_better_stay():
    choice = choose("macs<=1G")
    own = choice.chosen.detector
    half = own.anchors.scale * 8 / 2  # of the finest level's own square
    exact = BoxSample(Path("a.jpg"), own.resolution, (BoxLabel(68 - half, 68 - half, 68 + half, 68 + half, 0),))
    assert with_fitted_anchors(choice, BoxDataset(Path(), ("box",), (exact,), (), (), "")) is choice


def test_a_choice_comes_back_from_its_file(tmp_path):
    choice = choose("macs<=1G")
    write_choice(choice, tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json") == choice
    nothing = replace(choice, chosen=choose("macs<=100M").chosen, rejected=())
    write_choice(nothing, tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json") == nothing
    (tmp_path / "choice.json").write_text('{"version": 1, "chosen": {}}')
    with pytest.raises(RunError, match=r"choice\.json: is damaged"):
        read_choice(tmp_path / "choice.json")
