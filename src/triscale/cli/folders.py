"""Where a run goes."""

from __future__ import annotations

from pathlib import Path

from triscale.errors import RunError


def run_folder(out: Path | None, data: str | Path, network: str = "") -> Path:
    """OUT, or runs/DATA (runs/DATA-NETWORK) where none is given.

    data: a path, or what else names shards.
    Raises: RunError for a folder inside the images, where the next look at them would take it for a class.
    """
    place = Path(data).resolve()
    name = (place.name if place.is_dir() else _stem(str(data))) or "data"
    folder = out or Path("runs") / (f"{name}-{network}" if network else name)
    if place.is_dir() and folder.resolve().is_relative_to(place):
        raise RunError(
            f"{folder}: lies inside the images ({data}), where it would be taken for a class; "
            f"give --out a folder elsewhere."
        )
    return folder


def _stem(data: str) -> str:
    """What to call data that is no folder: a file's name, or the folder of a pattern such as train-{000..009}.tar."""
    parts = [part for part in data.partition("://")[2 if "://" in data else 0].split("/") if part]
    if len(parts) > 1 and (parts[-1] == "shards.json" or any(letter in parts[-1] for letter in "{*?[")):
        parts.pop()
    name = Path(parts[-1]).stem if parts else ""
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name).strip("._")
