"""What is costed, scaled and fitted to budgets: a network or a detector, and the same kind comes back."""

from __future__ import annotations

from typing import TypeVar

from triscale.spec.detector import Detector
from triscale.spec.network import Network

Subject = TypeVar("Subject", bound=Network | Detector)
