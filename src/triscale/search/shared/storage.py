"""Storages of Optuna: a journal on a shared disk, or a database; one that goes away for a while is waited for."""

from __future__ import annotations

import importlib
import json
import random
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlsplit

from triscale.errors import MissingExtraError, SearchError

if TYPE_CHECKING:
    from optuna.storages import BaseStorage

PATIENCE = 900.0  # seconds for which a storage may be away
WAITS = (1.0, 2.0, 4.0, 8.0, 15.0)  # seconds between two tries; the last one stays
CONNECT_SECONDS = 10  # for a database to answer at all
LONGEST_LINE = 1 << 20  # bytes of a journal
# Workers that start in one moment make the tables of a new database at once; all but one of them fail, and find them.
TABLE_TRIES, MADE_AT_ONCE = 5, ("IntegrityError", "ProgrammingError")

Answer = TypeVar("Answer")


def open_storage(where: str) -> BaseStorage:
    """The storage at a place: a file (made where it is not there) or a database's URL.

    Raises: SearchError for what cannot be opened; MissingExtraError without optuna, or the database's driver.
    """
    optuna = quiet_optuna()
    if "://" not in where:
        return _journal(where)
    kind = urlsplit(where).scheme.partition("+")[0]
    if kind == "postgresql":
        where = _with_driver(where)
    elif kind == "postgres":
        raise SearchError(f"--storage {shown(where)}: starts with postgres://; write postgresql://.")
    # A connection for each call: none is left open while a training runs, for a server takes a hundred by default.
    options: dict[str, object] = {"poolclass": importlib.import_module("sqlalchemy.pool").NullPool}
    if kind == "postgresql":
        options["connect_args"] = {"connect_timeout": CONNECT_SECONDS}
    for left in range(TABLE_TRIES, -1, -1):
        try:
            return optuna.storages.RDBStorage(where, engine_kwargs=options)
        except ImportError as error:
            raise SearchError(f"--storage {shown(where)}: needs a driver that is not installed ({error}).") from None
        except Exception as error:  # SQLAlchemy's and each driver's own
            if not (left and type(error).__name__ in MADE_AT_ONCE):
                raise SearchError(f"--storage {shown(where)}: cannot be opened: {_first_line(error)}.") from None
            time.sleep(random.uniform(0.1, 1.0))
    raise AssertionError  # the last try returns or raises


def quiet_optuna():  # noqa: ANN201 - a module
    """Optuna, which tells each trial on standard error unless it is asked not to."""
    try:
        import optuna
    except ImportError:
        raise MissingExtraError("optuna", "search", "a search that several workers join") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna


def shown(where: str) -> str:
    """A place without the password in it."""
    parts = urlsplit(where)
    return where.replace(f":{parts.password}@", ":***@") if "://" in where and parts.password else where


class Patient:
    """Calls of a storage, tried again while it is away.

    where: for people. say: told when it goes away, and when it is back.
    """

    def __init__(self, where: str, say: Callable[[str], None], patience: float = PATIENCE) -> None:
        self.where, self.say, self.patience = shown(where), say, patience

    def __call__(self, call: Callable[[], Answer]) -> Answer:
        """What a call returns. Raises: SearchError where it failed for so long; and what it raises otherwise."""
        began, tries = time.monotonic(), 0
        while True:
            try:
                answer = call()
            except Exception as error:
                if not _is_away(error):
                    raise
                away = time.monotonic() - began
                if away > self.patience:
                    raise SearchError(
                        f"--storage {self.where}: away for {away:.0f} s ({_first_line(error)}); nothing that was "
                        f"answered is lost: run the same command again when it is back."
                    ) from None
                if tries == 0:
                    self.say(f"the storage {self.where} is away ({_first_line(error)}); waiting for it")
                time.sleep(WAITS[min(tries, len(WAITS) - 1)])
                tries += 1
            else:
                if tries:
                    self.say(f"the storage {self.where} is back")
                return answer


def _journal(where: str) -> BaseStorage:
    from optuna.storages import JournalStorage

    from triscale.search.shared.journal import Journal

    path = Path(where).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab+") as file:
            file.seek(0)
            first = file.readline(LONGEST_LINE)
        if first and not _is_of_a_journal(first):
            raise SearchError(f"--storage {where}: is no journal of a search; choose another file.")
        return JournalStorage(Journal(str(path)))
    except OSError as error:
        raise SearchError(f"--storage {where}: cannot be used as a journal: {error.strerror}.") from None
    except (ValueError, KeyError, TypeError):
        raise SearchError(f"--storage {where}: is a journal that cannot be read; choose another file.") from None


def _is_of_a_journal(line: bytes) -> bool:
    """Whether a line is one that Optuna writes."""
    try:
        return "op_code" in json.loads(line)
    except (ValueError, TypeError):
        return False


def _with_driver(where: str) -> str:
    """A PostgreSQL URL with the driver that we install, unless it names one."""
    scheme, rest = where.split("://", 1)
    if "+" in scheme:
        return where
    try:
        import psycopg  # noqa: F401
    except ImportError:
        raise MissingExtraError("psycopg", "postgres", "a search in PostgreSQL") from None
    return f"postgresql+psycopg://{rest}"


def _is_away(error: Exception) -> bool:
    """Whether an error is the storage's, and may pass: a database that is down, a disk that is not mounted."""
    from optuna.exceptions import StorageInternalError

    if isinstance(error, (StorageInternalError, OSError)):
        return True
    return type(error).__module__.startswith("sqlalchemy") and not isinstance(error, ValueError)


def _first_line(error: BaseException) -> str:
    """What an error says, or the one that it came from, in one line."""
    told = error.__cause__ if error.__cause__ is not None else error
    lines = [line.strip() for line in str(getattr(told, "orig", None) or told).splitlines() if line.strip()]
    return (lines[0] if lines else type(told).__name__).rstrip(".")
