"""What the README promises in code, runs; the commands it names exist."""

import re
from pathlib import Path

from triscale.cli.main import COMMANDS

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_python_in_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert programs
    for program in programs:
        exec(compile(program, "README.md", "exec"), {})


def test_every_command_that_the_readme_names_exists():
    named = set(re.findall(r"[$`]\s?(?:triscale|make) ([a-z-]+)", README))
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    assert named <= {name for name, _, _ in COMMANDS} | set(targets)


def test_the_test_command_of_the_readme_is_what_ci_runs():
    commands = re.findall(r"^make ([a-z-]+)$", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert commands == ["check", "test"]
    assert "$ make test" in README
