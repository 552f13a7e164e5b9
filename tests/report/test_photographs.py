"""A family on photographs: what each member costs, sees and says."""

import numpy as np

from tests.report.test_scaling import texts
from triscale.report.photographs import Answered, Seen, draw_photographs
from triscale.spec.curves import scaling_curves
from triscale.spec.families import network

LITE0 = network("efficientnet_lite0")


def member(name, pixels, answers):
    seen = Seen(np.full((pixels, pixels, 3), 0.5), answers)
    return Answered(name, pixels, 4_652_008, 385_000_000, 0.751, (seen, seen))


def test_every_member_shows_its_cost_its_accuracy_and_what_it_says():
    members = [
        member("efficientnet_lite0", 224, (("tiger cat", 0.385), ("Egyptian cat", 0.365), ("tabby", 0.169))),
        member("efficientnet_lite1", 240, (("$x_{", 0.448), ("a very long name of a class indeed", 0.2))),
    ]
    figure = draw_photographs(LITE0, scaling_curves(LITE0), members, ["chelsea.png", "coffee.png"])
    said = texts(figure)
    assert {"efficientnet_lite0", "224 px, 4.652M parameters, 385M MACs\ntop-1 as published: 75.1\u00a0%"} <= set(said)
    assert {"chelsea.png", "coffee.png", "tiger cat", "38.5\u00a0%", "$x_{", "lite1: 75.1"} <= set(said)
    assert "2 photographs illustrate; they do not measure" in said[-1]
    assert all(len(words) <= 22 for words in said if "very long" in words)


def test_what_reads_more_pixels_gets_the_larger_picture():
    members = [member("small", 120, (("a", 1.0),)), member("large", 240, (("b", 1.0),))]
    figure = draw_photographs(LITE0, scaling_curves(LITE0), members, ["one", "two"])
    pictures = [axes.images[0].get_window_extent().width for axes in figure.axes if axes.images]
    small, large = sorted(set(np.round(pictures, 3)))
    assert 1.9 < large / small < 2.1
