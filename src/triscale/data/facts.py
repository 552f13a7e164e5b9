"""The first look into an image: can it be decoded, and what tells it from others."""

from __future__ import annotations

import hashlib
import os

from triscale.data.images import ImageError, open_image
from triscale.data.listing import Facts
from triscale.data.member import ImagePlace, Member

_SAMPLED = 16 * 1024


def look(path: ImagePlace, verify: bool = True) -> Facts:
    """The facts of one image; trouble is told, not raised. verify: decode it."""
    try:
        if verify:
            open_image(path, at_least=(1, 1))
        size, beginning, end = _ends(path)
    except ImageError as error:
        return Facts(0, b"", error)
    except FileNotFoundError:
        return Facts(0, b"", ImageError(path, "missing", "no such file."))
    except EOFError as error:
        return Facts(0, b"", ImageError(path, "broken", f"truncated ({error})."))
    except OSError as error:
        return Facts(0, b"", ImageError(path, "unreadable", f"cannot be read ({error.strerror})."))
    return Facts(size, hashlib.blake2b(b"%d " % size + beginning + end, digest_size=16).digest())


def _ends(path: ImagePlace) -> tuple[int, bytes, bytes]:
    """The bytes of an image, and the first and last of them."""
    if isinstance(path, Member):
        data = path.read_bytes()
        return len(data), data[:_SAMPLED], data[max(0, len(data) - _SAMPLED) :][:_SAMPLED]
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        beginning = file.read(_SAMPLED)
        file.seek(max(0, size - _SAMPLED))
        return size, beginning, file.read(_SAMPLED)
