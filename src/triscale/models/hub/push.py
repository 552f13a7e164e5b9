"""A model of ours to the Hub: weights, config.json and model card, in one commit."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

from triscale.errors import HubError
from triscale.models.assembler import ConvNet
from triscale.models.files import save
from triscale.models.hub.client import UnreachableError, bars_for_people, client, in_one_line, make_api
from triscale.models.hub.fetch import CONFIG, README, WEIGHTS
from triscale.models.hub.place import Place, parse_place
from triscale.models.hub.readme import readme
from triscale.models.model import Model
from triscale.models.published import config_of


def push(model: Model, place: str, private: bool = True, token: str | None = None) -> str:
    """Write a model to a repository on the Hub; `load` of that name gives it back, with the same answers bit for bit.

    place: `hf://OWNER/REPO[@BRANCH]`. The repository is made where there is none; in one that is there,
        model.safetensors, config.json and README.md are replaced, and its history keeps the old ones.
    private: whether a repository that is made is seen by its owner alone; one that is there stays as it is.
    token: of an account that may write there; None for that of HF_TOKEN, or of `hf auth login`.
    Returns: `hf://OWNER/REPO@COMMIT`.
    Raises: HubError saying in one line why it cannot be written, or that it is no network; MissingExtraError without
        huggingface_hub.
    """
    target = parse_place(place)
    if not isinstance(model, ConvNet):
        raise HubError(
            f"{place}: {model.name} is a {type(model).__name__}, and what is pushed is a network with its page; "
            f"write it with ts.save and upload the file, which ts.load reads from hf://OWNER/REPO/FILE."
        )
    if target.file is not None:
        raise HubError(f"{place}: a model is pushed to a repository; expected hf://{target.repository}.")
    hub = client()
    with tempfile.TemporaryDirectory(prefix="triscale-") as folder:
        weights = Path(folder) / WEIGHTS[0]
        save(model, weights)
        config = json.dumps(config_of(model.network, model.preprocessing, model.card), indent=1) + "\n"
        files = {
            WEIGHTS[0]: str(weights),
            CONFIG: config.encode(),
            README: readme(model.network, model.preprocessing, model.card, target.repository).encode(),
        }
        operations = [hub.CommitOperationAdd(path_in_repo=name, path_or_fileobj=each) for name, each in files.items()]
        try:
            with in_one_line(target, "written"), bars_for_people():
                commit = _commit(target, operations, private, token)
        except UnreachableError as error:
            raise HubError(f"{place}: the Hub cannot be reached ({error}); nothing was pushed.") from None
    return str(target.at(commit))


def _commit(target: Place, operations: list, private: bool, token: str | None) -> str:
    api = make_api(token)
    api.create_repo(target.repository, private=private, exist_ok=True)
    made = api.create_commit(
        target.repository, operations, commit_message="A model of triscale", revision=target.revision
    )  # fmt: skip
    return made.oid
