"""Numbers of the literature and of other people's code, as JSON; every file names its sources."""

import json
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent


@cache
def golden(name):
    """The golden file of that name, e.g. golden("classification")["networks"]["efficientnet_b0"]["params"]."""
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
