import pytest

from tests.data.conftest import shared_folder  # noqa: F401
from tests.fitted import fitted_run
from tests.models.helpers import small_network
from training.tiny import tiny_images
from triscale.spec.files import write_network


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


@pytest.fixture(scope="session")
def few_images(tmp_path_factory):
    """An image folder of three classes with a test split, for searches of seconds; no test changes it."""
    return tiny_images(tmp_path_factory.mktemp("few"), train=16, val=4, test=4)


@pytest.fixture(scope="session")
def small_baseline(tmp_path_factory):
    """The file of a network that is searched in seconds; no test changes it."""
    path = tmp_path_factory.mktemp("baseline") / "small.json"
    write_network(small_network(resolution=(48, 48)), path)
    return path
