"""What docs/scaling.md shows is what the commands print."""

import re
import shlex
from pathlib import Path

import pytest

from tests.fitted import triscale
from triscale.cli.output import count, size
from triscale.spec.budget import parse, solution
from triscale.spec.cost import cost
from triscale.spec.families import network
from triscale.spec.rules import RULES

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "scaling.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ triscale ([^\n]*)\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_is_shown_is_printed(command, shown):
    assert len(SHOWN) >= 8
    assert shown in triscale(*shlex.split(command)).out


@pytest.mark.parametrize("rule", RULES)
def test_the_table_of_rules_at_one_budget_is_what_they_give(rule):
    found, multipliers = solution(network("efficientnet_b0"), parse("macs<=1G"), rule=RULES[rule])
    own = cost(found)
    cells = [*(f"{each:.3f}" for each in multipliers), str(own.size[0])]
    cells += [count(own.params), count(own.macs), count(own.activations), size(own.memory)]
    assert f"| {rule} | {' | '.join(cells)} |" in PAGE


def test_every_picture_is_there_and_says_how_it_was_made():
    pictures = re.findall(r"!\[[^\]]+\]\((pictures/[^)]+)\)", PAGE)
    assert len(pictures) == 3
    for picture in pictures:
        assert (ROOT / "docs" / picture).is_file()
        assert re.search(rf"`triscale scale \S+ --(curve|panels) {Path(picture).name}[ `]", PAGE)


def test_the_panels_of_the_page_are_those_of_todays_networks(tmp_path):
    triscale("scale", "efficientnet_b0", "--panels", tmp_path / "panels.svg")
    words = re.compile(r"<text[^>]*>([^<]*)</text>")
    drawn = words.findall((tmp_path / "panels.svg").read_text(encoding="utf-8"))
    assert words.findall((ROOT / "docs/pictures/scaling_panels.svg").read_text(encoding="utf-8")) == drawn
    assert "1.846G MACs (×4.79)" in drawn
