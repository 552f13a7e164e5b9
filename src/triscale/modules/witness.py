"""Whose code goes through its children in order, whatever they are: found by adding one and running."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from triscale.modules.chains import Child
from triscale.modules.surgery import put_after

Place = tuple[str, int]  # a container's path, and which of its chains


class Witness(nn.Module):
    """Passes its input on and counts how often."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """Apply it: any tensor, unchanged."""
        self.calls += 1
        return x


def iterated(copied: nn.Module, image: Tensor, found: dict[str, list[list[Child]]]) -> set[Place]:
    """The chains behind whose last child another child is called, too.

    copied: a copy in eval mode that may be run; it is left as it was.
    """
    places = [(path, number) for path, runs in found.items() for number in range(len(runs))]
    try:
        return _called(copied, image, found, places)
    except Exception:
        return {place for place in places if _alone(copied, image, found, place)}


def _alone(copied: nn.Module, image: Tensor, found: dict[str, list[list[Child]]], place: Place) -> bool:
    try:
        return bool(_called(copied, image, found, [place]))
    except Exception:
        return False


def _called(
    copied: nn.Module, image: Tensor, found: dict[str, list[list[Child]]], places: Iterable[Place]
) -> set[Place]:
    containers = {path: copied.get_submodule(path) for path, _ in places}
    with _restored(containers.values()), torch.no_grad():
        witnesses = {}
        # From the last chain of a container to its first: what is put in moves the numbers of what follows.
        for path, number in sorted(places, reverse=True):
            witnesses[path, number] = witness = Witness()
            put_after(containers[path], found[path][number][-1].name, [witness])
        copied(image)
    return {place for place, witness in witnesses.items() if witness.calls == 1}


@contextmanager
def _restored(modules: Iterable[nn.Module]) -> Generator[None]:
    saved = [(module, list(module._modules.items())) for module in modules]
    try:
        yield
    finally:
        for module, children in saved:
            module._modules.clear()
            module._modules.update(children)
