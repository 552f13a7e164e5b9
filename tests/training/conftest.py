"""What the tests of training share."""

import pytest

from training.forks import Forks


@pytest.fixture(scope="session")
def forks():
    """A process that has imported everything and forks; see `forks.Forks`."""
    with Forks("import torch.distributed, torch.nn.parallel") as made:
        yield made
