"""The real client of the Hub, pointed at a server on this machine, with a cache and a login of its own."""

import pytest

from tests.models.hub.server import Hub


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A Hub without repositories that the client of this process talks to, without an account."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants, file_download

    with Hub() as server:
        for name, value in {
            "ENDPOINT": server.endpoint,
            "HUGGINGFACE_CO_URL_TEMPLATE": server.endpoint + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(tmp_path / "hub cache"),
            "HF_TOKEN_PATH": str(tmp_path / "no token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }.items():
            monkeypatch.setattr(constants, name, value)
        monkeypatch.delenv("HF_TOKEN", raising=False)
        monkeypatch.setattr(file_download.time, "sleep", lambda seconds: None)
        yield server
