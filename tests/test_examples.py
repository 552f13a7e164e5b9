"""What stands in examples/ runs as it stands there, in an empty folder, and says how."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))
SAID = {
    "budgets": "400M MACs, 6M params",
    "detector_of_parts": "bifpn",
    "grow": "largest difference of an answer",
    "own_module": "inside 10M MACs",
    "search_on_images": "the best of them, without noise",
    "train_and_ship": "of 1000 test images",
}


@pytest.mark.parametrize("path", EXAMPLES, ids=[each.stem for each in EXAMPLES])
def test_an_example_runs_in_an_empty_folder(path, tmp_path):
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, path], cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert SAID[path.stem] in done.stdout


@pytest.mark.parametrize("path", EXAMPLES, ids=[each.stem for each in EXAMPLES])
def test_an_example_is_short_and_says_how_it_is_run(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 60
    assert f"Run: python examples/{path.name}" in text
