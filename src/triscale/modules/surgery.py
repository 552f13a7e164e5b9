"""Children of a module put in and taken out, in order, as its code iterates over them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from torch import nn


def put_after(container: nn.Module, name: str, added: Sequence[nn.Module]) -> list[str]:
    """Register modules right behind the child `name`; children that are numbered are numbered anew.

    Returns: the names of the added ones.
    """
    children = list(container._modules.items())
    place = [child for child, _ in children].index(name) + 1
    numbered = all(child.isdigit() for child, _ in children)
    taken = {child for child, _ in children}
    names = [str(place + number) for number in range(len(added))] if numbered else _following(name, taken, len(added))
    after = children[place:]
    if numbered:
        after = [(str(place + len(added) + number), module) for number, (_, module) in enumerate(after)]
    _replace(container, [*children[:place], *zip(names, added, strict=True), *after])
    return names


def take_out(container: nn.Module, names: Sequence[str]) -> None:
    """Remove children; those that are numbered are numbered anew."""
    children = list(container._modules.items())
    numbered = all(child.isdigit() for child, _ in children)
    kept = [(child, module) for child, module in children if child not in names]
    _replace(container, [(str(n), m) for n, (_, m) in enumerate(kept)] if numbered else kept)


def _replace(container: nn.Module, children: Sequence[tuple[str, nn.Module | None]]) -> None:
    container._modules.clear()
    container._modules.update(children)


def _following(name: str, taken: set[str], count: int) -> list[str]:
    """Names that go on where `name` ends: b4 -> b5, block -> block_2."""
    match = re.fullmatch(r"(.*?)(\d+)", name)
    stem, number = (match[1], int(match[2])) if match else (f"{name}_", 1)
    names: list[str] = []
    while len(names) < count:
        number += 1
        if f"{stem}{number}" not in taken:
            names.append(f"{stem}{number}")
    return names
