"""The config.json that lies beside published weights, in timm's layout or ours: network, preprocessing and classes.

Source: timm 1.0.31, timm/models/_hub.py, which writes such files, and the Hub's repositories of timm. Needs no torch.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from triscale.errors import FileError, SpecError, TriscaleError
from triscale.models.pretrained import imagenet_classes
from triscale.spec import families
from triscale.spec.card import ModelCard
from triscale.spec.files import (
    card_from_dict,
    card_to_dict,
    network_from_dict,
    network_to_dict,
    preprocessing_from_dict,
    preprocessing_to_dict,
    read_json,
)
from triscale.spec.network import Network, Numerics, Size
from triscale.spec.preprocessing import Fit, Preprocessing

CONFIG = "config.json"
LIBRARY, VERSION = "triscale", 1
FITS: dict[str, Fit] = {"center": "crop", "squash": "squash"}
HARMLESS_ARGUMENTS = {"num_classes", "in_chans", "drop_rate", "drop_path_rate"}  # of timm's create_model
IMAGENET = re.compile(r"(^|_)in1k$")  # how timm's tags end where the 1,000 classes are ImageNet's


@dataclass(frozen=True, slots=True)
class Published:
    """What a config.json says of the weights beside it.

    architecture: the name that their owner gives to the network. network: as we know it, with the weights' classes and
    channels, at their evaluation size; None when we do not know it. numerics: how it is to be computed.
    preprocessing: at evaluation; None where the file says nothing of it. other_crop: share of the side that is kept at
    other sizes than that one. card: the classes, where they are known.
    """

    architecture: str
    network: Network | None
    numerics: Numerics
    preprocessing: Preprocessing | None
    other_crop: float
    card: ModelCard

    def preprocessing_at(self, size: Size) -> Preprocessing | None:
        """Preprocessing for images of `size` pixels; None where the file says nothing of it."""
        if self.preprocessing is None or size == self.preprocessing.size:
            return self.preprocessing
        return replace(self.preprocessing, size=size, train_size=None, crop=self.other_crop)

    def required_network(self, where: str) -> Network:
        """Its network, or SpecError saying that we have none of that name."""
        if self.network is None:
            raise SpecError(
                f"{where}: is of the architecture {self.architecture!r}, which triscale does not know; `triscale list` "
                f"shows those that it does."
            )
        return self.network


def published_beside(weights: Path) -> Published | None:
    """What the config.json in the folder of a file says; None without one, or where it is of other libraries.

    Raises: FileError when it is damaged, or says what cannot be.
    """
    path = weights.with_name(CONFIG)
    return read_published(path) if path.is_file() else None


def read_published(path: Path) -> Published | None:
    """Read a config.json; see `published_beside`."""
    config = read_json(path)
    if not isinstance(config, dict):
        return None
    try:
        if config.get("library_name") == LIBRARY:
            return _ours(config)
        if isinstance(config.get("architecture"), str):
            return _timms(config)
    except FileError:
        raise
    except TriscaleError as error:
        raise FileError(f"{path}: {error}") from None
    return None


def config_of(network: Network, preprocessing: Preprocessing, card: ModelCard) -> dict[str, Any]:
    """A config.json for a model of ours; `read_published` reads it back."""
    return {
        "library_name": LIBRARY,
        "version": VERSION,
        "network": network_to_dict(network),
        "preprocessing": preprocessing_to_dict(preprocessing),
        "card": card_to_dict(card),
    }


def _ours(config: Mapping[str, Any]) -> Published:
    if config.get("version") != VERSION:
        raise SpecError(
            f"is of format version {config.get('version')!r}, this triscale reads {VERSION}; use the triscale that "
            f"wrote it, or a newer one."
        )
    network = network_from_dict(config.get("network"))
    preprocessing = preprocessing_from_dict(config.get("preprocessing"))
    return Published(
        network.name, network, network.numerics, preprocessing, preprocessing.crop, card_from_dict(config.get("card"))
    )


def _timms(config: Mapping[str, Any]) -> Published:
    name = config["architecture"]
    given = _table(config, "pretrained_cfg")
    arguments = _table(config, "model_args")
    odd = sorted(set(arguments) - HARMLESS_ARGUMENTS)
    try:
        network = families.network(name)
    except SpecError:
        network = None
    numerics = network.numerics if network else families.GOOGLE if name.startswith("tf_") else families.TIMM
    preprocessing = _preprocessing(given) if given else None
    if network is not None:
        if odd:
            raise SpecError(f"model_args changes {', '.join(odd)} of {name}; triscale reads the network as published.")
        network = replace(
            network,
            classes=_whole(config, "num_classes", _whole(given, "num_classes", network.classes)),
            in_channels=_whole(arguments, "in_chans", _shape(given, "input_size", (3, 224, 224))[0]),
            resolution=preprocessing.size if preprocessing else network.resolution,
        )
    crop = _number(given, "crop_pct", 0.875)
    return Published(name, network, numerics, preprocessing, crop, _card(config, given, network))


def _preprocessing(given: Mapping[str, Any]) -> Preprocessing:
    """timm's `pretrained_cfg` as ours: at the test size, where there is one, with the test's crop."""
    trained = _shape(given, "input_size", (3, 224, 224))[1:]
    size = _shape(given, "test_input_size", (0, *trained))[1:]
    mode = given.get("crop_mode") or "center"
    if mode not in FITS:
        raise SpecError(f"pretrained_cfg.crop_mode must be {' or '.join(FITS)}, got {mode!r}.")
    return preprocessing_from_dict(
        {
            "size": size,
            "train_size": None if trained == size else trained,
            "mean": given.get("mean", (0.485, 0.456, 0.406)),
            "std": given.get("std", (0.229, 0.224, 0.225)),
            "interpolation": given.get("interpolation", "bicubic"),
            "fit": FITS[mode],
            "crop": _number(given, "test_crop_pct", _number(given, "crop_pct", 0.875)),
        }
    )


def _card(config: Mapping[str, Any], given: Mapping[str, Any], network: Network | None) -> ModelCard:
    """The classes: as the file names them, or ImageNet's where its tag says so."""
    classes = _classes(config, given)
    if not classes and network is not None and network.classes == 1000 and IMAGENET.search(str(given.get("tag", ""))):
        classes = imagenet_classes()
    if network is not None and len(classes) not in (0, network.classes):
        raise SpecError(f"label_names has {len(classes)} names for {network.classes} classes.")
    squashed = given.get("crop_mode") == "squash" and _number(given, "crop_pct", 1.0) < 1
    return ModelCard(classes, notes="timm also crops the centre after squashing, this does not" if squashed else "")


def _classes(config: Mapping[str, Any], given: Mapping[str, Any]) -> tuple[str, ...]:
    """Names in output order: a list, or a table from output to name without gaps; as people call them if it says so."""
    names = config.get("label_names") or given.get("label_names") or ()
    if isinstance(names, dict):
        numbered = {int(key): name for key, name in names.items() if str(key).isdecimal()}
        names = [numbered[output] for output in sorted(numbered)] if set(numbered) == set(range(len(names))) else []
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise SpecError("label_names must be a list of names.")
    told = config.get("label_descriptions") or given.get("label_descriptions") or {}
    readable = tuple(told.get(name, name) for name in names) if isinstance(told, dict) else tuple(names)
    return readable if len(set(readable)) == len(names) else tuple(names)


def _table(values: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    found = values.get(key) or {}
    if not isinstance(found, dict):
        raise SpecError(f"{key} must be a table, got {type(found).__name__}.")
    return found


def _whole(values: Mapping[str, Any], key: str, default: int) -> int:
    found = values.get(key)
    if found is None:
        return default
    if not isinstance(found, int) or isinstance(found, bool):
        raise SpecError(f"{key} must be a whole number, got {found!r}.")
    return found


def _number(values: Mapping[str, Any], key: str, default: float) -> float:
    found = values.get(key)
    if found is None:
        return default
    if not isinstance(found, int | float) or isinstance(found, bool):
        raise SpecError(f"pretrained_cfg.{key} must be a number, got {found!r}.")
    return float(found)


def _shape(given: Mapping[str, Any], key: str, default: tuple[int, int, int]) -> tuple[int, int, int]:
    """timm's (channels, H, W)."""
    found = given.get(key)
    if found is None:
        return default
    if not isinstance(found, list) or len(found) != 3 or not all(type(each) is int for each in found):
        raise SpecError(f"pretrained_cfg.{key} must be channels, height and width, got {found!r}.")
    return found[0], found[1], found[2]
