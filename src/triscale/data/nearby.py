"""What a person may have meant by a path that does not exist."""

from __future__ import annotations

import difflib
from pathlib import Path


def nearby(path: str | Path) -> str:
    """The end of a sentence about a missing path: what exists beside it, most alike first.

    Returns: "; nearby in FOLDER: a, b, c" or, where nothing of the path exists, "".
    """
    path = Path(path)
    folder, name = path.parent, path.name
    try:
        while not folder.is_dir() and folder != folder.parent:
            folder, name = folder.parent, folder.name
        names = sorted(each.name for each in folder.iterdir() if not each.name.startswith("."))
    except OSError:  # a hint only: where the folder cannot be listed, there is none
        return ""
    alike = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    shown = alike + [each for each in names if each not in alike]
    more = f" and {len(shown) - 3} more" if len(shown) > 3 else ""
    return f"; nearby in {folder}: {', '.join(shown[:3])}{more}" if shown else f"; {folder} is empty"
