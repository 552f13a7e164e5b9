"""What the tests of the Hub ask of a refusal and of a model."""

import hashlib

import pytest

from triscale.errors import HubError


def refused(work, kind=HubError):
    """The one line with which it is refused."""
    with pytest.raises(kind) as caught:
        work()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def digests(model):
    return {key: hashlib.sha256(tensor.numpy().tobytes()).hexdigest() for key, tensor in model.state_dict().items()}
