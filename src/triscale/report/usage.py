"""How to use what a run made: commands and programs that are ready to copy."""

from __future__ import annotations

import shlex

from triscale.spec.preprocessing import Preprocessing

_CROP = """\
    share = min(image.width / {width}, image.height / {height}) * {crop}
    left, top = (image.width - {width} * share) / 2, (image.height - {height} * share) / 2
    box = (left, top, left + {width} * share, top + {height} * share)
    image = image.resize(({width}, {height}), Image.Resampling.{interpolation}, box)
    pixels = (np.asarray(image, np.float64){axis} / 255 - {mean}) / {std}
"""
_SQUASH = """\
    image = image.resize(({width}, {height}), Image.Resampling.{interpolation})
    pixels = (np.asarray(image, np.float64){axis} / 255 - {mean}) / {std}
"""
_LETTERBOX = """\
    share = min({width} / image.width, {height} / image.height)
    width, height = max(1, int(image.width * share)), max(1, int(image.height * share))
    image = image.resize((width, height), Image.Resampling.{interpolation})
    pixels = np.zeros(({height}, {width}, {channels})) + ({fill} - np.array({mean})) / {std}
    pixels[:height, :width] = (np.asarray(image, np.float64){axis} / 255 - {mean}) / {std}
"""
_READ = """\
import json

import numpy as np
import onnxruntime
from PIL import Image, ImageOps


def read(path):
    image = ImageOps.exif_transpose(Image.open(path)).convert("{mode}")
{resize}    return pixels.astype(np.float32).transpose(2, 0, 1)[None]
"""
_RUN = """\


session = onnxruntime.InferenceSession({file})
classes = json.loads(session.get_modelmeta().custom_metadata_map["triscale"])["classes"]
(logits,) = session.run(None, {{session.get_inputs()[0].name: read("photo.jpg")}})
{answer}
"""
_ANSWER = "print(classes[logits[0].argmax()])"
_ANSWERS = "print([name for name, logit in zip(classes, logits[0]) if logit >= 0])  # a probability of one half or more"
_TRISCALE = """\
import torch
import triscale as ts
from triscale.data.transforms import load

model = ts.load({file})
with torch.inference_mode():
    scores = model(load("photo.jpg", model.preprocessing)[None]).{chances}[0]
{answer}
"""
_BEST = "print(model.card.classes[scores.argmax()], float(scores.max()))"
_LIKELY = "print([name for name, score in zip(model.card.classes, scores) if score >= 0.5])"


def commands(folder: str, data: str) -> str:
    """What to type to use the run in `folder`, which learnt from `data`."""
    run = shlex.quote(folder)
    lines = (
        ("what is on these photographs?", f"triscale predict {run} photo.jpg"),
        ("the same for a program to read", f"triscale predict {run} photos/ --json"),
        ("measure it again", f"triscale eval {run} {shlex.quote(data)}"),
    )
    return "\n".join(f"# {what}\n{command}" for what, command in lines)


def with_triscale(folder: str, several: bool = False) -> str:
    """A program that uses the model through triscale. several: whether an image may have several labels."""
    file = repr(f"{folder.rstrip('/')}/model.safetensors")
    chances, answer = ("sigmoid()", _LIKELY) if several else ("softmax(1)", _BEST)
    return _TRISCALE.format(file=file, chances=chances, answer=answer)


def without_triscale(file: str, preprocessing: Preprocessing, several: bool = False) -> str:
    """A program that needs only ONNX Runtime, numpy and Pillow; it prepares images exactly as triscale does.

    file: path of the exported .onnx file. several: whether an image may have several labels.
    """
    return reading(preprocessing) + _RUN.format(file=repr(file), answer=_ANSWERS if several else _ANSWER)


def reading(preprocessing: Preprocessing) -> str:
    """The part of `without_triscale` that turns a photograph into the network's input."""
    height, width = preprocessing.size
    template = {"crop": _CROP, "squash": _SQUASH, "letterbox": _LETTERBOX}[preprocessing.fit]
    mean, std = _short(preprocessing.mean), _short(preprocessing.std)
    grey = preprocessing.channels == 1
    resize = template.format(
        width=width,
        height=height,
        crop=preprocessing.crop,
        interpolation=preprocessing.interpolation.upper(),
        axis="[..., None]" if grey else "",
        mean=mean,
        std=std,
        fill=mean if preprocessing.fill is None else preprocessing.fill,
        channels=preprocessing.channels,
    )
    return _READ.format(mode="L" if grey else "RGB", resize=resize)


def _short(values: tuple[float, ...]) -> float | list[float]:
    """One number where all channels have the same."""
    rounded = [float(f"{value:.9g}") for value in values]
    return rounded[0] if len(set(rounded)) == 1 else rounded
