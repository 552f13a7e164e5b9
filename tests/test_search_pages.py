"""The Python of the pages on searches runs, top to bottom, and finds something."""

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"


@pytest.mark.parametrize("page", ["search.md", "search_budget.md", "search_workers.md"])
def test_the_python_of_the_page_runs(page, tmp_path, monkeypatch, capsys):
    pytest.importorskip("optuna")
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", (DOCS / page).read_text(encoding="utf-8"), flags=re.DOTALL)
    assert programs
    names = {}
    for program in programs:
        exec(compile(program, page, "exec"), names)
    assert capsys.readouterr().out
