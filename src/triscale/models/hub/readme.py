"""The model card that the Hub shows: what the model is, how to use it, and what is known of its weights."""

from __future__ import annotations

import json
import re

from triscale.spec.card import ModelCard
from triscale.spec.cost import cost
from triscale.spec.network import Network
from triscale.spec.preprocessing import Preprocessing

# Licences that the Hub knows by an identifier of its own, of those that come with networks and photographs.
# Source: https://huggingface.co/docs/hub/repositories-licenses
LICENCES = frozenset(
    {
        "apache-2.0",
        "mit",
        "bsd-2-clause",
        "bsd-3-clause",
        "bsd-3-clause-clear",
        "isc",
        "mpl-2.0",
        "unlicense",
        "cc0-1.0",
    }
    | {"cc-by-2.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0", "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0"}
    | {"cc-by-nc-nd-4.0", "cc-by-nd-4.0", "gpl-2.0", "gpl-3.0", "agpl-3.0", "lgpl-2.1", "lgpl-3.0", "odbl", "pddl"}
)
SHOWN_CLASSES = 50
FITS = {
    "crop": "the central {crop:.1%} of what has that aspect, resized",
    "squash": "the whole image, resized",
    "letterbox": "the whole image, its aspect kept, the rest filled",
}


def readme(network: Network, preprocessing: Preprocessing, card: ModelCard, repository: str) -> str:
    """README.md of a repository: the Hub's header (YAML), then text for people.

    repository: where it goes, as OWNER/REPO.
    """
    parts = [
        _header(network, card, repository),
        f"# {_plain(repository.rpartition('/')[2])}",
        _what(network, card),
        _how(repository, card.several),
        _reads(network, preprocessing),
        _classes(card),
        _metrics(card),
        _whence(card),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _header(network: Network, card: ModelCard, repository: str) -> str:
    """Every value is written as JSON, which YAML reads as it is, whatever a licence or a name may hold."""
    lines = ["library_name: triscale", "pipeline_tag: image-classification"]
    licence = card.licence.strip()
    if licence.lower() in LICENCES:
        lines.append(f"license: {licence.lower()}")
    elif licence:
        lines += ["license: other", f"license_name: {json.dumps(licence)}"]
    base = re.search(r"hf://([^/@\s]+/[^/@\s)]+)", card.origin)
    if base is not None and base[1] != repository:
        lines.append(f"base_model: {json.dumps(base[1])}")
    tags = ["image-classification", "triscale", network.name]
    return "\n".join(["---", *lines, "tags:", *(f"- {json.dumps(tag)}" for tag in tags), "---"])


def _what(network: Network, card: ModelCard) -> str:
    counted, (height, width) = cost(network), network.resolution
    top1 = f"; {card.metrics['top1']:.2%} of its evaluation images right" if "top1" in card.metrics else ""
    several = " for images that may have several labels" if card.several else ""
    return (
        f"An image classifier{several}: `{network.name}` with {network.classes:,} classes, {counted.params:,} "
        f"parameters and {counted.macs:,} multiply-accumulates at {height} x {width} pixels{top1}."
    )


def _how(repository: str, several: bool) -> str:
    """Three lines that answer, and the same on the command line."""
    answer = "model.card.classes[scores.argmax()] if model.card.classes else int(scores.argmax())"
    if several:
        answer = "[name for name, score in zip(model.card.classes, scores) if score >= 0.5]"
    return f"""## How to use it

```python
import triscale as ts
from triscale.data.transforms import load

model = ts.load("hf://{repository}")
scores = model(load("photo.jpg", model.preprocessing)[None]).{"sigmoid()" if several else "softmax(1)"}[0]
print({answer})
```

```sh
pip install 'triscale[hub]'
triscale predict hf://{repository} photo.jpg
```"""


def _reads(network: Network, preprocessing: Preprocessing) -> str:
    height, width = preprocessing.size
    fit = FITS[preprocessing.fit].format(crop=preprocessing.crop)
    mean, std = (", ".join(f"{each:.4g}" for each in values) for values in (preprocessing.mean, preprocessing.std))
    numerics = network.numerics
    return (
        f"## What it reads\n\n{network.in_channels} channels at {height} x {width} pixels: {fit} "
        f"({preprocessing.interpolation}), in 0..1, less the mean ({mean}), divided by ({std}). Padding "
        f"{numerics.padding}, BatchNorm eps {numerics.eps:g}. `config.json` says it exactly."
    )


def _classes(card: ModelCard) -> str:
    if not card.classes:
        return ""
    more = len(card.classes) - SHOWN_CLASSES
    names = ", ".join(_plain(name) for name in card.classes[:SHOWN_CLASSES])
    return f"## Classes\n\nIn output order: {names}{f', and {more:,} more in `config.json`' if more > 0 else ''}."


def _metrics(card: ModelCard) -> str:
    if not card.metrics:
        return ""
    rows = "\n".join(f"| {_plain(name)} | {value:.4f} |" for name, value in card.metrics.items())
    told = "Rates in 0..1, as whoever made the weights measured them."
    return f"## Metrics\n\n{told}\n\n| metric | value |\n|---|---|\n{rows}"


def _whence(card: ModelCard) -> str:
    lines = [
        f"- origin: {_plain(card.origin)}" if card.origin else "",
        f"- licence: {_plain(card.licence)}" if card.licence else "- licence: not stated",
        f"- SHA-256 of the file that it began with: `{card.sha256}`" if card.sha256 else "",
        f"- {_plain(card.notes)}" if card.notes else "",
    ]
    return "## Where it comes from\n\n" + "\n".join(line for line in lines if line)


def _plain(text: str) -> str:
    """Text on one line that Markdown and HTML show as it is."""
    return re.sub(r"([\\`*_{}\[\]<>|#~])", r"\\\1", " ".join(text.split()))
