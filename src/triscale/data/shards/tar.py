"""The members of a tar file, by their headers alone: nothing is unpacked, and no header decides how much is read.

Source: POSIX.1-1988 ustar and POSIX.1-2001 pax interchange formats (IEEE Std 1003.1, pax, "EXTENDED DESCRIPTION"), and
GNU tar's long names. Python's `tarfile` reads an extended header of any size into memory; a shard comes from anybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

BLOCK = 512
MAX_HEADER = 1024**2  # bytes of a long name or of extended attributes; what is larger is no name
_ZEROS = bytes(BLOCK)
_FILES = (b"0", b"\0", b"7")


class Part(NamedTuple):
    """One file inside: its name, and where its bytes are."""

    name: str
    offset: int
    length: int


class TarError(Exception):
    """What is wrong with a tar file, and at which byte; the members before that are sound.

    truncated: whether the file ends too early, rather than being something else.
    """

    def __init__(self, why: str, truncated: bool = False) -> None:
        super().__init__(why)
        self.truncated = truncated


def members(file: BinaryIO, size: int) -> Iterator[Part]:
    """The regular files inside, in order; links, folders and devices are left out.

    file: at its beginning. size: its bytes.
    Raises: TarError at the first thing that is not as it should be.
    """
    if size == 0:
        raise TarError("the file is empty (0 bytes)")
    if file.read(2) == b"\x1f\x8b":
        raise TarError("is compressed, and nothing in it can be found by offset: unpack it (gunzip)")
    place, long_name, attributes = 0, "", dict[str, str]()
    while True:
        header = _block(file, place, size)
        if header == _ZEROS:
            return
        name, length, kind = _header(header, place)
        if kind in (b"x", b"L"):
            text = _read_long(file, place, length, size)
            if kind == b"L":
                long_name = _text(text.rstrip(b"\0"))
            else:
                attributes = _attributes(text, place)
        elif kind not in (b"g", b"K"):
            length = _number(attributes.get("size"), place) if "size" in attributes else length
            end = place + BLOCK + length
            if end > size:
                raise TarError(f"truncated: it ends at byte {size:,}, a member at byte {place:,} ends at {end:,}", True)
            if kind in _FILES and not (kind != b"7" and name.endswith("/")):
                yield Part(attributes.get("path") or long_name or name, place + BLOCK, length)
            long_name, attributes = "", {}
        place += BLOCK + -(-length // BLOCK) * BLOCK


def _block(file: BinaryIO, place: int, size: int) -> bytes:
    file.seek(place)
    header = file.read(BLOCK)
    if len(header) < BLOCK:
        raise TarError(f"truncated: it ends at byte {size:,}, without the end mark of a tar file", True)
    return header


def _header(header: bytes, place: int) -> tuple[str, int, bytes]:
    """Name, length in bytes, kind. Raises: TarError where the checksum says that this is no header."""
    stated = _number(_text(header[148:156].strip(b" \0")), place, base=8)
    summed = sum(header) - sum(header[148:156]) + 8 * ord(" ")
    if stated != summed:
        raise _no_header(place)
    name = header[:100].split(b"\0", 1)[0]
    if header[257:263] == b"ustar\0" and header[345]:  # GNU's own format uses these bytes otherwise
        name = header[345:500].split(b"\0", 1)[0] + b"/" + name
    return _text(name), _length(header[124:136], place), header[156:157]


def _length(field: bytes, place: int) -> int:
    if field[0] & 0x80:  # GNU writes numbers above 8 GiB in binary
        number = int.from_bytes(bytes([field[0] & 0x7F]) + field[1:])
        if field[0] & 0x40 or number >= 1 << 63:
            raise TarError(f"damaged: a member at byte {place:,} has an impossible size")
        return number
    return _number(_text(field.strip(b" \0")) or "0", place, base=8)


def _number(text: str | None, place: int, base: int = 10) -> int:
    if text and len(text) < 20 and set(text) <= set("0123456789"[:base]):
        return int(text, base)
    raise _no_header(place)


def _no_header(place: int) -> TarError:
    return TarError(f"{'not a tar file' if place == 0 else 'damaged'}: there is no header at byte {place:,}")


def _read_long(file: BinaryIO, place: int, length: int, size: int) -> bytes:
    if length > MAX_HEADER:
        raise TarError(f"damaged: the name at byte {place:,} would have {length:,} bytes")
    text = file.read(length)
    if len(text) < length:
        raise TarError(f"truncated: it ends at byte {size:,}, inside of a name", True)
    return text


def _attributes(text: bytes, place: int) -> dict[str, str]:
    """pax records: "LENGTH KEY=VALUE\\n", one after the other."""
    found = dict[str, str]()
    at = 0
    while at < len(text) and text[at : at + 1] != b"\0":
        digits, space, _ = text[at : at + 20].partition(b" ")
        end = at + (int(digits) if digits.isdigit() and space else 0)
        key, equals, value = text[at + len(digits) + 1 : end - 1].partition(b"=")
        if end <= at + len(digits) + 2 or end > len(text) or not equals:
            raise TarError(f"damaged: the extended header at byte {place:,} cannot be read")
        found[_text(key)] = _text(value)
        at = end
    return found


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
