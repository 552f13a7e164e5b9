import pytest

from tests.modules.user_code import write


@pytest.fixture(scope="session")
def code(tmp_path_factory):
    """The path of a user's file with factories, which no test changes."""
    return write(tmp_path_factory.mktemp("code"))
