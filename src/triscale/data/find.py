"""What a person means by DATA."""

from __future__ import annotations

from pathlib import Path

from triscale.data.listing import Listing, list_images
from triscale.data.parallel import Progress
from triscale.data.shards.download import is_url
from triscale.data.shards.listing import list_shards
from triscale.data.shards.places import is_shards


def find_images(
    path: str | Path, verify: bool = True, progress: Progress | None = None, check: bool = False
) -> Listing:
    """The images of a folder, a CSV file or shards; see `list_images`, and `list_shards` for the other arguments.

    Raises: DataError where there is nothing to learn from.
    """
    text = str(path)
    return list_shards(text, verify, progress, check) if is_shards(text) else list_images(path)


def location(path: str | Path) -> str:
    """The same DATA named from anywhere: an absolute path, or the URL."""
    text = str(path)
    return text if is_url(text) else str(Path(path).resolve())
