"""The one place that meets the Hub's own client: how it is imported, and what its errors mean to a person."""

from __future__ import annotations

import contextlib
import errno
import sys
from collections.abc import Generator
from types import ModuleType
from typing import TYPE_CHECKING

from triscale.errors import HubError, MissingExtraError
from triscale.models.hub.place import SCHEME, Place

if TYPE_CHECKING:
    from huggingface_hub import HfApi

BUSY = (408, 429)  # and 500 upwards: another time it may work


class UnreachableError(HubError):
    """Nobody answered, or only that it cannot answer now."""


def client() -> ModuleType:
    """The module huggingface_hub. Raises: MissingExtraError saying how to install it."""
    try:
        import huggingface_hub
    except ImportError:
        raise MissingExtraError("huggingface_hub", "hub", f"a model on the Hub ({SCHEME}…)") from None
    return huggingface_hub


def make_api(token: str | None = None) -> HfApi:
    """The client's entry, which says who asks. token: of the account; None for the one of HF_TOKEN or of the login."""
    from importlib.metadata import version

    return client().HfApi(token=token, library_name="triscale", library_version=version("triscale"))


@contextlib.contextmanager
def in_one_line(place: Place, doing: str) -> Generator[None]:
    """Turn what the client raises within the block into a HubError of one line.

    doing: "read" or "written". Raises: UnreachableError where another time, or the cache, may help.
    """
    client()
    from huggingface_hub import errors

    try:
        yield
    except HubError:
        raise
    except errors.OfflineModeIsEnabled:
        raise UnreachableError("HF_HUB_OFFLINE is set") from None
    except errors.HfHubHTTPError as error:
        raise _refused(place, doing, error) from None
    except errors.LocalEntryNotFoundError as error:
        raise UnreachableError(first_line(error.__cause__ or error)) from None
    except errors.HTTPError as error:
        raise UnreachableError(first_line(error)) from None
    except OSError as error:
        raise _broken(place, error) from None
    except (errors.HFValidationError, ValueError, KeyError, TypeError, RuntimeError) as error:
        # A proxy's page instead of an answer, or a name that the Hub would never take.
        raise HubError(f"{place}: cannot be {doing}: {first_line(error.__cause__ or error)}.") from None


@contextlib.contextmanager
def bars_for_people() -> Generator[None]:
    """Within the block the client draws its progress only where somebody watches: on a terminal."""
    from huggingface_hub import utils

    if sys.stderr.isatty() or utils.are_progress_bars_disabled():
        yield
        return
    utils.disable_progress_bars()
    try:
        yield
    finally:
        utils.enable_progress_bars()


def first_line(error: BaseException) -> str:
    """What an error says in one line without its full stop."""
    if isinstance(error, KeyError):
        return f"the answer lacks {error}"
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:200].rstrip(".")


def _refused(place: Place, doing: str, error: BaseException) -> HubError:
    """What an answer other than "yes" means."""
    from huggingface_hub import constants, errors

    response = error.response  # ty: ignore[missing-attribute]
    where = constants.ENDPOINT
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{place}: is gated: accept its terms at {where}/{place.repository}, then log in (`hf auth login`, or "
            f"HF_TOKEN) and run the same again."
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"{place}: no such repository at {where}; check the name, or log in (`hf auth login`, or HF_TOKEN) if it "
            f"is private."
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"{place}: has no revision {place.revision or 'main'!r}; give a branch, a tag or a commit.")
    if isinstance(error, errors.EntryNotFoundError):
        return HubError(f"{place}: has no such file ({response.url}).")
    if response.status_code in (401, 403):
        return HubError(
            f"{place}: cannot be {doing} by this account ({response.status_code}); log in with a token that may "
            f"(`hf auth login`, or HF_TOKEN)."
        )
    told = f"{where} answered {response.status_code} {response.reason_phrase}".rstrip()
    if response.status_code in BUSY or response.status_code >= 500:
        return UnreachableError(told)
    return HubError(f"{place}: cannot be {doing}: {told}: {first_line(error)}.")


def _broken(place: Place, error: OSError) -> HubError:
    """A download that ended early, or a disk that does not take it."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EACCES, errno.EROFS):
        from huggingface_hub import constants

        return HubError(
            f"{place}: cannot be kept in the cache ({error.filename or constants.HF_HUB_CACHE}): {error.strerror}; "
            f"free some space, or let HF_HUB_CACHE name another folder."
        )
    return HubError(f"{place}: the transfer broke off ({first_line(error)}); run the same command again.")
