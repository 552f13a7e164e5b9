"""Every error that triscale raises on purpose.

TriscaleError                what a caller can catch; the command line prints one line and exits with its `exit_code`
├── SpecError                a network, stage or block that cannot be (a bad value, two numbers that disagree)
├── BudgetError              a budget that cannot be read, or that nothing satisfies
├── FileError                a file that is missing, unreadable, truncated, unsafe or of another format
│   ├── DataError            images, labels or folders that cannot be learnt from
│   │   └── ImageError       one image file that cannot be used, and why (lives in triscale.data.images)
│   └── HubError             a repository on the Hugging Face Hub that cannot be reached, read or written
├── WeightsError             tensors that do not belong to this network
├── ModuleError              somebody's nn.Module that cannot be traced or scaled, and where in it
├── MissingExtraError        an optional library is not installed
├── RunError                 a run folder in use, of other arguments, or that cannot be written
├── TrainingError            training cannot go on (a loss that is not finite, nothing to validate on)
│   └── PeerError            another of the processes that train together has ended
├── SearchError              a search that cannot go on (every score fails, a ledger of another search)
└── VerificationError        it ran, and what it checked does not hold: exit code 1
"""

from __future__ import annotations

import math


class TriscaleError(Exception):
    """The input is wrong; the message says where, what was found, what was expected and what to do."""

    exit_code = 2


class SpecError(TriscaleError):
    """A network description that cannot be built."""


class BudgetError(TriscaleError):
    """A budget that cannot be read or that nothing satisfies.

    overrun: what the smallest network uses of the limit that it exceeds the most, above 1; infinite where unknown.
    """

    def __init__(self, message: str, overrun: float = math.inf) -> None:
        super().__init__(message)
        self.overrun = overrun


class FileError(TriscaleError):
    """A file that is missing, unreadable, truncated, unsafe or of another format."""


class DataError(FileError):
    """Images, labels or folders that cannot be learnt from."""


class HubError(FileError):
    """A repository on the Hugging Face Hub that cannot be reached, read or written."""


class WeightsError(TriscaleError):
    """Tensors that do not belong to this network."""


class ModuleError(TriscaleError):
    """Somebody's nn.Module that cannot be traced or scaled; the message names the operation and the module path.

    place: the module path alone, where running it failed. reason: what was said there.
    """

    def __init__(self, message: str, place: str = "", reason: str = "") -> None:
        super().__init__(message)
        self.place, self.reason = place, reason


class MissingExtraError(TriscaleError):
    """An optional library is not installed."""

    def __init__(self, library: str, extra: str, purpose: str) -> None:
        super().__init__(f"{purpose} needs {library}, which is not installed; run: pip install 'triscale[{extra}]'")
        self.library, self.extra = library, extra


class RunError(TriscaleError):
    """A run folder that is in use, belongs to other arguments, or cannot be written."""


class TrainingError(TriscaleError):
    """Training cannot go on."""


class PeerError(TrainingError):
    """Another of the processes that train together has ended.

    told: it has said why, so that this one need not speak.
    """

    def __init__(self, message: str, exit_code: int = TrainingError.exit_code, told: bool = False) -> None:
        super().__init__(message)
        self.exit_code, self.told = exit_code, told


class SearchError(TriscaleError):
    """A search cannot go on."""


class VerificationError(TriscaleError):
    """It ran, and what it checked does not hold."""

    exit_code = 1
