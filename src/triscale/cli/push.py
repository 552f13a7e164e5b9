"""`triscale push`: a model to the Hugging Face Hub, with all that it cannot be used without."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from triscale.cli.output import print_json
from triscale.models.hub.place import parse_place


def push_command(
    model: str,
    place: str,
    /,
    *,
    public: bool = False,
    json: Annotated[bool, Parameter(name="--json")] = False,
) -> int:
    """Put a model on the Hub in one commit: weights, config.json, and a model card that says how to use it.

    Log in first (`hf auth login`), or let HF_TOKEN hold a token that may write. `triscale predict` and `train` then
    take the same hf://OWNER/REPO on any machine.

    Example: triscale push runs/photos hf://me/photos

    Parameters
    ----------
    model
        a run's folder, a model file, or a name with installed weights
    place
        hf://OWNER/REPO, or hf://OWNER/REPO@BRANCH; the repository is made where there is none
    public
        everybody may see a repository that is made; else its owner alone
    json
        print JSON instead of text
    """
    parse_place(place)
    from triscale.cli.models import open_network
    from triscale.models.hub.push import push

    pushed = push(open_network(model), place, private=not public)
    if json:
        print_json({"pushed": pushed})
    else:
        print(f"pushed: {pushed}")
    return 0
