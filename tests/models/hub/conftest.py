import pytest

import triscale as ts
from tests.hub import hub  # noqa: F401
from tests.models.helpers import small_model
from triscale.spec.card import ModelCard
from triscale.spec.preprocessing import Preprocessing


@pytest.fixture
def small(tmp_path):
    """A model of ours that builds in milliseconds, with all that a card can say."""
    model = small_model(0)
    model.preprocessing = Preprocessing((32, 32), None, (0.1, 0.2, 0.3), (0.2, 0.3, 0.4), "bilinear", "squash", 1.0)
    model.card = ModelCard(tuple("abcde"), "trained by triscale", "CC-BY-4.0", "f" * 64, {"top1": 0.75}, "on toys")
    return model


@pytest.fixture
def published(hub, small, monkeypatch):  # noqa: F811
    """(hub, the name of a repository that holds `small`)."""
    monkeypatch.setenv("HF_TOKEN", "hf_writer")
    ts.push(small, "hf://me/toys", private=False)
    monkeypatch.delenv("HF_TOKEN")
    hub.requests.clear()
    return hub, "hf://me/toys"
