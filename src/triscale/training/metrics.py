"""The figures of a training as it runs: lines in `log.jsonl`, and TensorBoard's curves where it is installed."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from triscale.training.run import RunFolder

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter


class MetricsLog:
    """Writes events of a run; use it in a `with` block.

    step: the step from which this process goes on; TensorBoard hides what an earlier one wrote beyond it.
    note: a line for people when TensorBoard is not installed, else empty.
    """

    def __init__(self, run: RunFolder, step: int = 0) -> None:
        self._run, self._writer = run, _writer(run, step)
        self.note = ""
        if self._writer is None and run.writes:
            self.note = (
                "no TensorBoard curves: pip install 'triscale[train]' brings them; log.jsonl has the same figures"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Flush the curves."""
        if self._writer is not None:
            self._writer.close()

    def write(self, event: str, step: int, fields: Mapping[str, object]) -> None:
        """One event; its numbers become curves, a table of numbers (`val` {"top1": ...}) several (`val/top1`)."""
        self._run.log(event, {"step": step, **fields})
        if self._writer is None:
            return
        for name, value in fields.items():
            for part, number in value.items() if isinstance(value, Mapping) else (("", value),):
                if isinstance(number, (int, float)) and not isinstance(number, bool):
                    self._writer.add_scalar(f"{name}/{part}" if part else f"{event}/{name}", number, step)


def _writer(run: RunFolder, step: int) -> SummaryWriter | None:
    if not run.writes or importlib.util.find_spec("tensorboard") is None:
        return None
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(run.path / "tensorboard"), purge_step=step or None)
