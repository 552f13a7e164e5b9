"""`file.py:factory`: how a command line names a user's own code. Reading a name runs nothing and needs no torch."""

from __future__ import annotations

import ast
import difflib
from pathlib import Path

from triscale.errors import FileError, SpecError

LARGEST_FILE = 4 * 2**20  # bytes; more than anybody writes by hand


def is_reference(name: str) -> bool:
    """Whether NAME means code: `file.py:factory`, or a Python file of which the factory was forgotten."""
    return name.rpartition(":")[0].endswith(".py") or name.endswith(".py")


def split_reference(reference: str) -> tuple[Path, str]:
    """(the Python file, the name in it).

    Raises: SpecError, naming what the file defines, when no name is given.
    """
    if reference.endswith(".py"):
        defined = _definitions(Path(reference))
        known = f"; it defines {', '.join(defined)}" if defined else ""
        raise SpecError(f"{reference}: say which factory in it, as {reference}:{(defined or ['factory'])[0]}{known}.")
    file, _, name = reference.rpartition(":")
    return Path(file), name


def read_source(path: Path) -> bytes:
    """The source of a Python file. Raises: FileError when it is missing, too large or cannot be read."""
    try:
        with path.open("rb") as file:
            source = file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        near = difflib.get_close_matches(path.name, names, n=2, cutoff=0.4)
        hint = f"; nearby: {', '.join(near)}" if near else ""
        raise FileError(
            f"{path}: no such file{hint}; a module of your own is named as path/to/file.py:factory."
        ) from None
    except OSError as error:
        raise FileError(f"{path}: cannot be read: {error.strerror}.") from None
    if len(source) > LARGEST_FILE:
        raise FileError(f"{path}: has more than the {LARGEST_FILE:,} bytes that source code may have.")
    return source


def _definitions(path: Path) -> list[str]:
    """Public functions and classes that the file defines, told without running it."""
    try:
        body = ast.parse(read_source(path)).body
    except (SyntaxError, ValueError):
        return []
    found = [each.name for each in body if isinstance(each, ast.FunctionDef | ast.ClassDef)]
    return [name for name in found if not name.startswith("_")]
