"""A module of the user's own as the baseline."""

import json
from dataclasses import replace

import pytest
import torch

from tests.fitted import triscale
from tests.modules.user_code import BLOCKS, NETS
from tests.search.helpers import Counting, asker
from training.tiny import tiny_images
from triscale.errors import SpecError
from triscale.modules.factory import load_factory
from triscale.search import preset
from triscale.search.candidate import Multipliers
from triscale.search.coefficients import search_coefficients
from triscale.search.grid import coefficient_grid
from triscale.search.halving import Rung
from triscale.search.own import ModuleBaseline


@pytest.fixture(scope="module")
def code(tmp_path_factory):
    folder = tmp_path_factory.mktemp("code")
    (folder / "blocks.py").write_text(BLOCKS)
    (folder / "nets.py").write_text(NETS)
    return folder / "nets.py"


@pytest.mark.parametrize("name", ["plain", "scalable"])
def test_what_it_costs_is_what_its_model_costs(code, name):
    baseline = ModuleBaseline(load_factory(f"{code}:{name}"), (32, 32))
    for multipliers in (Multipliers(), Multipliers(2.0, 1.5, 1.0), Multipliers(1.0, 1.0, 1.5)):
        candidate = baseline.at(multipliers)
        model = baseline.model(candidate, 1000)
        assert model.costs(candidate.size) == (candidate.params, candidate.macs)
        assert model(torch.zeros(1, 3, *candidate.size)).shape == (1, 1000)
        assert baseline.model(candidate, 3).outputs == 3


@pytest.mark.parametrize("name", ["plain", "scalable"])
def test_multipliers_that_round_to_the_same_layers_are_one_candidate(code, name):
    baseline = ModuleBaseline(load_factory(f"{code}:{name}"), (32, 32))
    one, same, other = (baseline.at(Multipliers(*each)) for each in ((1, 1, 1), (0.9, 1.01, 1), (1, 1, 1.1)))
    assert one == same and one.key == same.key and one != other
    with pytest.raises(SpecError, match="has no Network"):
        _ = one.network


def test_code_that_changed_is_another_question(code, tmp_path):
    (tmp_path / "blocks.py").write_text(BLOCKS + "\n# faster\n")
    (tmp_path / "nets.py").write_text(NETS)
    keys = {
        ModuleBaseline(load_factory(f"{path}:plain"), (32, 32)).at(Multipliers()).key
        for path in (code, tmp_path / "nets.py")
    }
    assert len(keys) == 2


def test_a_dimension_that_the_factory_does_not_take_is_refused(tmp_path):
    path = tmp_path / "wide.py"
    path.write_text("from torch import nn\ndef wide(width=1.0):\n    return nn.Conv2d(3, int(8 * width), 3)\n")
    with pytest.raises(SpecError, match="takes no depth"):
        ModuleBaseline(load_factory(f"{path}:wide"), (32, 32)).at(Multipliers(depth=2.0))


def test_a_plain_resnet_goes_the_same_way(code, tmp_path):
    baseline = ModuleBaseline(load_factory(f"{code}:plain"), (40, 40))
    grid = coefficient_grid(baseline, tolerance=0.1, fewest=5)
    assert len([each for each in grid if each.inside]) >= 5
    best = next(each for each in grid if each.inside)
    score = Counting(lambda candidate, seed, steps: 0.5 + 0.3 * (candidate == best.candidate) + 0.01 * seed)
    found = search_coefficients(grid, asker(tmp_path, score), (Rung(2, 1, 0.4), Rung(4, 2)))
    assert found.coefficients == best.coefficients


def test_the_command_takes_a_factory_and_says_how_to_train_it(code, tmp_path):
    images = tiny_images(tmp_path / "images", train=10, val=4)
    brief = replace(
        preset.PRESETS["tiny"], per_class=6, judged=12, rungs=(Rung(1), Rung(2)), most=3, largest=2, growths=(2.0,),
        curve_seeds=1, final_seeds=1,
    )  # fmt: skip
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(preset.PRESETS, "tiny", brief)
        patch.setattr("triscale.search.grid.STEPS", (0.05,))  # a finer grid is no other code, and takes a minute
        done = triscale(
            "search", "coefficients", images, "--baseline", f"{code}:plain", "--size", 40, "--out", tmp_path / "run"
        )
    assert done.code == 0, done.err
    said = json.loads((tmp_path / "run" / "module.json").read_text())
    assert (said["factory"], said["depth"] * said["width"] > 1 or said["size"] > [40, 40]) == ("nets.py:plain", True)
    assert f"triscale train {code}:plain DATA --depth" in (tmp_path / "run" / "report.html").read_text()
