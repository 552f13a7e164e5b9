"""A file from a URL, whole and as announced, or one line that says why not."""

from __future__ import annotations

import errno
import hashlib
import http.client
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from triscale.errors import DataError, MissingExtraError

PATIENCE = 30.0  # seconds without a byte
PAUSES = (0.5, 2.0)  # seconds before each further try
PIECE = 1024**2
MAX_TEXT = 1024**3  # bytes of a manifest or an index
PIPE = "pipe:"
_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_PASSING = {408, 429, 500, 502, 503, 504}


class _PassingError(Exception):
    """Another try may help."""


class Gone(DataError):
    """There is no such file on the server."""


def is_url(text: str) -> bool:
    """Whether this is SCHEME://…, or pipe:COMMAND, a program that a person names to bring a shard."""
    scheme, found, _ = text.partition("://")
    return text.startswith(PIPE) or (bool(found) and scheme.isalnum())


def download(url: str, place: Path, size: int = 0, sha256: str = "", abandoned: threading.Event | None = None) -> None:
    """Write what `url` gives into `place`; a connection that breaks is tried again.

    size, sha256: what it must have, where that is known. abandoned: once set, it stops in the middle.
    Raises: DataError naming the URL; MissingExtraError where its scheme needs a library that is not installed.
    """
    _patiently(url, lambda: _download(url, place, size, sha256, abandoned or threading.Event()))


def read_text(url: str) -> bytes:
    """A small file from a URL. Raises: `Gone` where there is none; else like `download`."""
    found: list[bytes] = []

    def read() -> None:
        with _opened(url) as (stream, announced):
            data = stream.read(MAX_TEXT)
            if announced and len(data) < announced:
                raise _PassingError(f"truncated: {len(data):,} of {announced:,} bytes came")
            found[:] = [data]

    _patiently(url, read)
    return found[0]


def announced_version(url: str) -> str:
    """What tells this version of the file from others, as far as its server says: size, tag and date."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        return ""
    found: list[str] = []

    def ask() -> None:
        with _opened(url, "HEAD") as (stream, _):
            headers = getattr(stream, "headers", {})
            found[:] = [str(headers.get(name, "")) for name in ("Content-Length", "ETag", "Last-Modified")]

    _patiently(url, ask)
    return " ".join(found)


def _patiently(url: str, action: Callable[[], None]) -> None:
    for pause in (*PAUSES, None):
        try:
            action()
        except _PassingError as error:
            if pause is None:
                raise DataError(f"{url}: {error}, {len(PAUSES) + 1} times; try again later.") from error
            time.sleep(pause)
        else:
            return


def _download(url: str, place: Path, size: int, sha256: str, abandoned: threading.Event) -> None:
    digest, came = hashlib.sha256(), 0
    with _opened(url) as (stream, announced), place.open("wb") as file:
        some = getattr(stream, "read1", stream.read)  # what has come, so that a slow line is given up at once
        while piece := some(PIECE):
            if abandoned.is_set():
                raise DataError(f"{url}: stopped after {came:,} bytes; the same command again begins it anew.")
            file.write(piece)
            digest.update(piece)
            came += len(piece)
    wanted = size or announced
    if announced and came < announced:
        raise _PassingError(f"truncated: {came:,} of {announced:,} bytes came")
    if wanted and came != wanted:
        raise DataError(f"{url}: has {came:,} bytes, shards.json says {wanted:,}; upload the shard again.")
    if sha256 and digest.hexdigest() != sha256:
        raise DataError(f"{url}: its content is not what shards.json says (SHA-256 differs); upload the shard again.")


@contextmanager
def _opened(url: str, method: str = "GET") -> Generator[tuple[BinaryIO, int]]:
    """The bytes of a URL, and how many there should be (0: not said)."""
    if urllib.parse.urlsplit(url).scheme not in ("http", "https"):
        with _by_webdataset(url) as stream:
            yield stream, 0
        return
    headers = {"User-Agent": "triscale", "Accept-Encoding": "identity"}
    request = urllib.request.Request(url, method=method, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            yield answer, int(answer.headers.get("Content-Length") or 0) if method == "GET" else 0
    except urllib.error.HTTPError as error:
        error.close()
        told = f"{url}: the server answers {error.code} ({error.reason})"
        if error.code in _PASSING:
            raise _PassingError(f"the server answers {error.code} ({error.reason})") from error
        if error.code in (404, 410):
            raise Gone(f"{told}: there is no such file; check the address.") from error
        raise DataError(f"{told}; check the address, and whether it needs a login.") from error
    except (urllib.error.URLError, http.client.HTTPException, TimeoutError, ConnectionError) as error:
        reason = getattr(error, "reason", None) or error
        raise _PassingError(f"cannot be reached ({str(reason) or type(error).__name__})") from error


@contextmanager
def _by_webdataset(url: str) -> Generator[BinaryIO]:
    """Other schemes (gs, sftp, pipe, …) as the webdataset library opens them: with the programs of their providers."""
    scheme = url.partition(":")[0]
    try:
        from webdataset.gopen import gopen
    except ImportError as error:
        raise MissingExtraError("webdataset", "shards", f"Reading shards by {scheme}:") from error
    try:
        with gopen(url) as stream:
            yield cast(BinaryIO, stream)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise
        raise DataError(f"{url}: the webdataset library cannot read it ({error}); is the program that it calls "
                        f"installed, and logged in?") from error  # fmt: skip
