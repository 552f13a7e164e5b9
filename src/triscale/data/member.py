"""An image that is not a file of its own but a part of a larger one, used like a path by whoever opens or names it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Protocol


class Shard(Protocol):
    """A file that holds many images: where it lies, or how it gets here, is its own business."""

    @property
    def name(self) -> str:
        """What messages call it: its path or URL."""
        ...

    def read(self, offset: int, length: int) -> bytes:
        """That part of it, shorter only where the file ends. Raises: OSError, or DataError where it cannot be had."""
        ...


@dataclass(frozen=True, slots=True)
class Member:
    """One image inside a shard.

    offset, length: where its bytes are. name: what it is called inside; printable, and with the suffix of its format.
    """

    shard: Shard
    offset: int
    length: int
    name: str

    def __str__(self) -> str:
        return f"{self.shard.name}: {self.name}"

    @property
    def suffix(self) -> str:
        """Of its name, with the dot."""
        return PurePosixPath(self.name).suffix

    @property
    def parts(self) -> tuple[str, ...]:
        """Folders and names on the way to it, the shard among them."""
        return (*Path(self.shard.name).parts, self.name)

    def read_bytes(self) -> bytes:
        """Its bytes. Raises: EOFError where the shard ends before it does; and what `Shard.read` raises."""
        data = self.shard.read(self.offset, self.length)
        if len(data) < self.length:
            end = self.offset + len(data)
            raise EOFError(f"the shard ends at byte {end:,}, the image at {self.offset + self.length:,}")
        return data


ImagePlace = Path | Member
