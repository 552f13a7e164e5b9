"""Bars that say how far a command is."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from triscale.data.parallel import Progress


@contextlib.contextmanager
def bars(*doing: str) -> Generator[list[Progress | None]]:
    """Bars with the time left on standard error, where a person looks at it; rich is loaded only then.

    doing: what each of them is about; one appears when it is first called.
    """
    if not sys.stderr.isatty():
        yield [None] * len(doing)
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:

        def shown(name: str) -> Progress:
            task = bar.add_task(name, total=None, visible=False)
            return lambda done, total: bar.update(task, completed=done, total=total, visible=True)

        yield [shown(name) for name in doing]
