"""Runs that are the same to the last bit on a GPU too. On a CPU they are without this."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator

import torch

from triscale.errors import TrainingError


@contextlib.contextmanager
def deterministic(wanted: bool) -> Generator[None]:
    """Within the block, PyTorch takes operations that always give the same bits, and raises where there is none.

    wanted: False changes nothing. It costs time on a GPU, where fast kernels add in any order.
    Raises: TrainingError naming an operation of the network that has no such form.
    Source: https://docs.pytorch.org/docs/stable/notes/randomness.html
    """
    if not wanted:
        yield
        return
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    benchmark = torch.backends.cudnn.benchmark
    # cuBLAS reads it when it is first used; it then keeps its work space apart for each stream.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if "does not have a deterministic implementation" not in str(error):
            raise
        raise TrainingError(
            f"deterministic: {str(error).split(',')[0]}; leave deterministic out, or use a CPU."
        ) from error
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = benchmark
