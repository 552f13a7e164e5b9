"""Where a training runs."""

from __future__ import annotations

from typing import Literal

import torch

from triscale.errors import TrainingError

DeviceName = Literal["auto", "cpu", "cuda"]


def chosen_device(name: DeviceName) -> torch.device:
    """The device of that name; "auto" takes a GPU where there is one. Raises: TrainingError where it is not there."""
    there = torch.cuda.is_available()
    if name == "cuda" and not there:
        built = "this PyTorch is built for CPUs" if torch.version.cuda is None else "no GPU was found"
        raise TrainingError(f"--device cuda: {built}; leave it out, or install PyTorch for your GPU and its driver.")
    return torch.device("cuda" if there and name != "cpu" else "cpu")
