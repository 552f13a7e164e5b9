"""A folder that a user who is not root can read too: pytest's own belong to their user alone."""

import shutil
import tempfile
from pathlib import Path

import pytest


@pytest.fixture
def shared_folder():
    folder = Path(tempfile.mkdtemp(prefix="triscale-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)
