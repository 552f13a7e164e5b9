"""Where a run goes."""

from __future__ import annotations

from pathlib import Path

from triscale.errors import RunError


def run_folder(out: Path | None, data: Path, network: str = "") -> Path:
    """OUT, or runs/DATA (runs/DATA-NETWORK) where none is given.

    Raises: RunError for a folder inside the images, where the next look at them would take it for a class.
    """
    place = data.resolve()
    name = (place.name if place.is_dir() else place.stem) or "data"
    folder = out or Path("runs") / (f"{name}-{network}" if network else name)
    if place.is_dir() and folder.resolve().is_relative_to(place):
        raise RunError(
            f"{folder}: lies inside the images ({data}), where it would be taken for a class; "
            f"give --out a folder elsewhere."
        )
    return folder
