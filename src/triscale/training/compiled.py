"""torch.compile as an option: the time that it took is told, and where it cannot be, training goes on without."""

from __future__ import annotations

import time
from collections.abc import Callable

import torch
from torch import Tensor, nn


class Compiled(nn.Module):
    """A network that is compiled when it is first called; layers, names and weights stay its own.

    say: gets a line with the time that compiling took, or with the reason why there is none.
    Shapes: as the network's.
    """

    def __init__(self, network: nn.Module, say: Callable[[str], None]) -> None:
        super().__init__()
        self.network, self._say = network, say
        # Of one size at a time: with sizes left open it would be compiled more slowly, for slower code.
        self._run: Callable[[Tensor], Tensor] = torch.compile(network, dynamic=False)
        self._tried = False

    def forward(self, x: Tensor) -> Tensor:
        """Apply it; shapes as the class says."""
        return self._run(x) if self._tried else self._first(x)

    def _first(self, x: Tensor) -> Tensor:
        from torch._dynamo.exc import TorchDynamoException
        from torch._inductor.exc import InductorError

        self._tried = True
        began = time.perf_counter()
        try:
            answer = self._run(x)
        except (TorchDynamoException, InductorError) as error:
            # Compiling comes before anything runs, so nothing was changed yet.
            self._run = self.network
            self._say(f"not compiled, so slower: {_reason(error)}")
            return self.network(x)
        self._say(f"compiled in {time.perf_counter() - began:.0f} s")
        return answer


def _reason(error: BaseException) -> str:
    """The first line of what went wrong, in its own words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    first = next((line for line in lines if "Error" in line), lines[0] if lines else "")
    return first[:200] or type(error).__name__
