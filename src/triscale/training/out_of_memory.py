"""Memory that runs out, whoever says so, as one error that says what to do."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Generator

import torch

from triscale.errors import TrainingError
from triscale.training.plan import Plan
from triscale.training.recipe import Recipe

# What PyTorch, oneDNN, the C++ library and Python say, in RuntimeError and OSError, where no class tells.
SAID = (
    "out of memory",
    "can't allocate memory",
    "cannot allocate memory",
    "could not create a memory",
    "could not create a primitive",
    "bad_alloc",
    "can't start new thread",
)


class OutOfMemoryError(TrainingError):
    """A training needed more memory than there was."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError, OutOfMemoryError)):
        return True
    return isinstance(error, (RuntimeError, OSError)) and any(each in str(error).lower() for each in SAID)


@contextlib.contextmanager
def told_in_one_line(recipe: Recipe, plan: Plan) -> Generator[None]:
    """Within the block, memory that runs out is an OutOfMemoryError; what the failed step held is let go of."""
    try:
        yield
    except (RuntimeError, MemoryError, OSError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)
        error.__traceback__ = None
        said = str(error).strip().splitlines()
        reason = f" ({said[0][:120]})" if said else ""
        raise OutOfMemoryError(
            f"memory ran out in a step of {plan.part_size} images{reason}; {ways_out(recipe)}; nothing is lost."
        ) from None


def ways_out(recipe: Recipe) -> str:
    """What takes less memory, as far as this recipe does not do it yet."""
    ways = ["--batch auto", f"--set accumulate={recipe.accumulate * 2}"]
    if recipe.checkpoint_activations == "none":
        ways.append("--set checkpoint_activations=block")
    return f"give {', '.join(ways)}, a smaller --batch-size or a smaller --size"
