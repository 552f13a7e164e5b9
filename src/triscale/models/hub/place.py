"""`hf://OWNER/REPO`: the name of a model on the Hub, read and written."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TypeGuard
from urllib.parse import unquote

from triscale.errors import HubError

SCHEME = "hf://"
_PART = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?"
_PLACE = re.compile(
    rf"(?P<repository>{_PART}/{_PART})(?:@(?P<revision>refs/(?:pr|convert)/[^/@]+|[^/@]+))?(?:/(?P<file>[^@]+))?"
)


@dataclass(frozen=True, slots=True)
class Place:
    """One repository on the Hub, or one file of it.

    repository: "timm/efficientnet_b0.ra_in1k". revision: a branch, a tag or a commit; None means the main branch.
    file: its path inside the repository; None means the one that a model is usually kept in.
    """

    repository: str
    revision: str | None = None
    file: str | None = None

    def __str__(self) -> str:
        revision = f"@{self.revision}" if self.revision else ""
        return f"{SCHEME}{self.repository}{revision}{'/' + self.file if self.file else ''}"

    def at(self, commit: str) -> Place:
        """The whole repository as it was at one commit, which never changes."""
        return replace(self, revision=commit, file=None)


def is_place(source: object) -> TypeGuard[str]:
    """Whether a person means the Hub: a text that begins with `hf://`."""
    return isinstance(source, str) and source.startswith(SCHEME)


def parse_place(text: str) -> Place:
    """`hf://OWNER/REPO[@REVISION][/FILE]` as a Place; a slash in a branch's name is written %2F.

    Raises: HubError when it is not written so.
    """
    found = _PLACE.fullmatch(text.removeprefix(SCHEME).rstrip("/")) if is_place(text) else None
    file, revision = (found["file"], unquote(found["revision"] or "")) if found else (None, "")
    odd = [part for path in (file, revision) if path for part in path.split("/") if part in ("", ".", "..")]
    if found is None or odd:
        raise HubError(
            f"{text}: is no name of a model on the Hub; expected hf://OWNER/REPO, hf://OWNER/REPO@REVISION or "
            f"hf://OWNER/REPO/FILE, as in hf://timm/efficientnet_b0.ra_in1k."
        )
    return Place(found["repository"], revision or None, file)
