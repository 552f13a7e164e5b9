"""A parity test may not hide: in CI, a skip for want of a package is a failure."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

CONFTEST = Path(__file__).with_name("conftest.py")


def outcome(folder, test, ci):
    (folder / "conftest.py").write_text(CONFTEST.read_text())
    (folder / "test_it.py").write_text(test)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", folder, folder],
        capture_output=True,
        text=True,
        env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        cwd=folder,
        check=False,
    )
    return run.returncode, run.stdout


IN_A_TEST = "import pytest\ndef test_it():\n    pytest.importorskip('no_such_peer')\n"
AT_THE_TOP = "import pytest\npeer = pytest.importorskip('no_such_peer')\ndef test_it():\n    assert True\n"
BY_A_MARK = "import pytest\n@pytest.mark.skipif(True, reason='timm is not here')\ndef test_it():\n    assert True\n"
FOR_THE_MACHINE = (
    "import pytest\n@pytest.mark.skipif(True, reason='needs a second CPU')\ndef test_it():\n    assert True\n"
)


@pytest.mark.parametrize("test", [IN_A_TEST, AT_THE_TOP, BY_A_MARK])
def test_a_skip_for_want_of_a_package_fails_in_ci(tmp_path, test):
    code, text = outcome(tmp_path, test, ci="true")
    assert code != 0
    assert "skipped where nothing may be missing" in text


def test_it_skips_on_a_machine_that_promises_nothing(tmp_path):
    assert outcome(tmp_path, IN_A_TEST, ci="")[0] == 0


def test_a_skip_that_is_about_the_machine_stays_a_skip(tmp_path):
    code, text = outcome(tmp_path, FOR_THE_MACHINE, ci="true")
    assert code == 0
    assert "1 skipped" in text
