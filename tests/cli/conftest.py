import pytest

from tests.data.conftest import shared_folder  # noqa: F401
from tests.fitted import fitted_run


@pytest.fixture(scope="session")
def fitted(tmp_path_factory):
    """(images, run) of a finished fit, which no test changes."""
    return fitted_run(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def images(fitted):
    """An image folder of three classes, which no test changes."""
    return fitted[0]


@pytest.fixture(scope="session")
def run(fitted):
    """The run folder of a finished fit, which no test changes."""
    return fitted[1]
