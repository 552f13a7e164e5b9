"""No test reads or leaves anything in the user's own cache, or asks a proxy for what this machine serves."""

import pytest


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return folder / "triscale" / "shards"
