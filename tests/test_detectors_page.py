"""What docs/detectors.md shows is what the commands print, and what it computes holds."""

import re
import shlex
from pathlib import Path

import pytest

from tests.fitted import triscale
from tests.spec.test_pyramids import of_the_pyramid
from triscale.spec.pyramids import PYRAMIDS

PAGE = (Path(__file__).parents[1] / "docs" / "detectors.md").read_text(encoding="utf-8")
SHOWN = re.findall(r"```console\n\$ triscale ([^\n]*)\n(.*?)```", PAGE, flags=re.DOTALL)
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)


@pytest.mark.parametrize(("command", "shown"), SHOWN, ids=[command for command, _ in SHOWN])
def test_what_is_shown_is_printed(command, shown):
    assert len(SHOWN) == 4
    assert shown == triscale(*shlex.split(command)).out


def test_the_python_of_the_page_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(PROGRAMS) == 2
    for program in PROGRAMS:
        exec(compile(program, "detectors.md", "exec"), {})


@pytest.mark.parametrize("name", PYRAMIDS)
def test_the_table_of_pyramids_is_what_they_cost(name):
    row = next(line for line in PAGE.splitlines() if line.startswith(f"| `{name}` |"))
    own, panets = of_the_pyramid(name), of_the_pyramid("panet")
    assert f"| {own[0] / panets[0]:.2f} | {own[1] / panets[1]:.2f} |" in row
