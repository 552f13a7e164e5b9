"""Names on the Hub."""

import pytest

from tests.models.hub.said import refused
from triscale.models.hub.place import Place, parse_place

B0 = "timm/efficientnet_b0.ra_in1k"


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("hf://timm/efficientnet_b0.ra_in1k", Place(B0)),
        ("hf://timm/efficientnet_b0.ra_in1k/", Place(B0)),
        ("hf://me/toys@v1.0", Place("me/toys", "v1.0")),
        ("hf://me/toys/best.safetensors", Place("me/toys", None, "best.safetensors")),
        ("hf://me/toys@main/runs/1/model.safetensors", Place("me/toys", "main", "runs/1/model.safetensors")),
        ("hf://me/toys@refs/pr/3", Place("me/toys", "refs/pr/3")),
        ("hf://me/toys@feature%2Fone", Place("me/toys", "feature/one")),
    ],
)
def test_a_place_is_a_repository_a_revision_and_a_file(text, place):
    assert parse_place(text) == place


@pytest.mark.parametrize(
    "text", ["hf://", "hf://gpt2", "hf:///x", "hf://a/b@", "hf://a/b@..", "hf://a/b/../c", "hf://a b/c", "hf://a/b//c",
             "hf://a/b@%2E%2E%2Fx"]
)  # fmt: skip
def test_what_is_no_place_says_how_one_is_written(text):
    assert f"{text}: is no name of a model on the Hub; expected hf://OWNER/REPO" in refused(lambda: parse_place(text))
