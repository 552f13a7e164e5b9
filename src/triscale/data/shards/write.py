"""Samples into one tar file, the same bytes for the same samples wherever and whenever it is written."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Packed(NamedTuple):
    """One sample as it goes into a shard. key: without a dot behind its last slash. suffix: ".jpg"."""

    key: str
    suffix: str
    image: bytes
    label: str


def write_tar(path: Path, samples: Iterable[Packed]) -> int:
    """Write `KEY.jpg` and `KEY.cls` of every sample. Returns: how many. Raises: OSError."""
    count = 0
    with path.open("wb") as file, tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for sample in samples:
            for suffix, data in ((sample.suffix, sample.image), (".cls", sample.label.encode())):
                member = tarfile.TarInfo(sample.key + suffix)  # no owner, no time: 0644, the beginning of 1970
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
            count += 1
    return count


def tar_size(sample_bytes: int, key: str, label: str) -> int:
    """Bytes that a sample takes in a tar file, without long names."""
    blocks = -(-sample_bytes // 512) + -(-len(label) // 512) + 2
    return 512 * (blocks + (4 if len(key) > 90 or not key.isascii() else 0))
