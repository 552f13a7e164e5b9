"""`file.py:factory` -> nn.Module: the user's own code, run because the user named it.

A factory is a function (or a class, or a module that is there already) that is called as

    factory(depth=1.0, width=1.0, num_classes=10, in_channels=3) -> nn.Module

with those of the four that it takes. One that takes depth or width scales itself; any other is scaled by tracing.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import hashlib
import inspect
import sys
import traceback
import types
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path

from torch import nn
from torch.nn.parameter import is_lazy

from triscale.errors import SpecError, TriscaleError
from triscale.modules.reference import read_source, split_reference

MULTIPLIERS = ("depth", "width")
KEYWORDS = (*MULTIPLIERS, "num_classes", "in_channels")
IMAGENET = {"num_classes": 1000, "in_channels": 3}
EXPECTED = "expected factory(depth=1.0, width=1.0, num_classes=…) -> torch.nn.Module, or factory()"
PACKAGE = Path(__file__).parents[1]
MARK = "__triscale_folder__"  # in modules that were imported for a factory


@dataclass(frozen=True, slots=True, eq=False)
class Factory:
    """A user's function that makes modules.

    path, function: where it is. sources: name -> SHA-256 of its file, and of the files beside it that it imports.
    takes: which of `KEYWORDS` it is called with. needs: which of them it has no default for.
    """

    path: Path
    function: str
    call: Callable[..., object]
    sources: dict[str, str]
    takes: frozenset[str]
    needs: frozenset[str] = frozenset()

    @property
    def reference(self) -> str:
        """As the user would name it from its own folder."""
        return f"{self.path.name}:{self.function}"

    @property
    def scales_itself(self) -> bool:
        """Whether it takes depth or width."""
        return not self.takes.isdisjoint(MULTIPLIERS)

    def make(
        self,
        depth: float = 1.0,
        width: float = 1.0,
        num_classes: int | None = None,
        in_channels: int | None = None,
    ) -> nn.Module:
        """A new module, called with what the factory takes of these.

        num_classes, in_channels: None leaves them to the factory; one that has no default gets ImageNet's.
        Raises: SpecError when its code raises, naming file and line, or what it returns is no module.
        """
        wanted = {"depth": depth, "width": width, "num_classes": num_classes, "in_channels": in_channels}
        given = {key: IMAGENET.get(key) if value is None else value for key, value in wanted.items()}
        called_with = {key for key in self.takes if wanted[key] is not None or key in self.needs}
        with users_code(self.path, self.reference):
            made = self.call(**{key: given[key] for key in called_with})
        if not isinstance(made, nn.Module):
            raise SpecError(f"{shown(self.path)}: {self.function} returned a {type(made).__name__}; {EXPECTED}.")
        _require_numbers(made, f"{shown(self.path)}: {self.function}")
        return made


def load_factory(reference: str) -> Factory:
    """The factory that `path/to/file.py:name` means. Its file is run, and may import the files beside it.

    Raises: FileError for a missing file; SpecError for a name that is not there, code that raises, or a function that
        cannot be called as a factory.
    """
    path, name = split_reference(reference)
    source = read_source(path)
    path = path.resolve()
    _forget_earlier()
    module = types.ModuleType(f"_triscale_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # dataclasses and type hints look there for the module of a class
    setattr(module, MARK, str(path.parent))
    with users_code(path, path.name):
        exec(compile(source, str(path), "exec"), vars(module))
    found = vars(module).get(name)
    if not callable(found):
        raise SpecError(f"{reference}: {_not_there(name, found, vars(module))}")
    sources = {path.name: hashlib.sha256(source).hexdigest(), **_siblings(path.parent)}
    if isinstance(found, nn.Module):
        return Factory(path, name, lambda: copy.deepcopy(found), sources, frozenset())
    return Factory(path, name, found, sources, *_keywords(reference, found))


def _require_numbers(module: nn.Module, where: str) -> None:
    """Raise SpecError for a module whose tensors have no sizes, or no numbers in them, yet."""
    for name, tensor in [*module.named_parameters(), *module.named_buffers()]:
        if is_lazy(tensor):
            raise SpecError(f"{where}: {name} has no size before the module has run; run it once on an image there.")
        if tensor.is_meta:
            raise SpecError(f"{where}: {name} is on the meta device and holds no numbers; make the module on the CPU.")


def as_factory(function: Callable[..., object]) -> Factory:
    """A function of a running program as a factory. Raises: SpecError when it cannot be called as one."""
    name = getattr(function, "__name__", type(function).__name__)
    file = inspect.getsourcefile(function) if inspect.isroutine(function) or inspect.isclass(function) else None
    path = Path(file or f"{name}.py").resolve()
    sources = {path.name: hashlib.sha256(read_source(path)).hexdigest()} if path.is_file() else {}
    return Factory(path, name, function, sources, *_keywords(name, function))


@contextlib.contextmanager
def users_code(path: Path, doing: str) -> Generator[None]:
    """Within the block the user's code runs: files beside it can be imported, its prints are no output of ours.

    doing: what is being run, for people.
    Raises: SpecError of one line with file, line number and exception for whatever that code raises.
    """
    folder = str(path.parent)
    before = set(sys.modules)
    sys.path.insert(0, folder)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    except SystemExit:
        raise SpecError(
            f'{shown(path)}: {doing} ended the program; put what a program does under if __name__ == "__main__".'
        ) from None
    except (TriscaleError, MemoryError):
        raise
    except Exception as error:
        where = _place(error, path)
        if where is None:
            raise
        said = " ".join(str(error.msg if isinstance(error, SyntaxError) else error).split())[:300].rstrip(".")
        raise SpecError(f"{where}: {doing} raised {type(error).__name__}{': ' if said else ''}{said}.") from error
    finally:
        with contextlib.suppress(ValueError):
            sys.path.remove(folder)
        for name in sys.modules.keys() - before:
            if _file_in(folder, name) is not None:
                setattr(sys.modules[name], MARK, folder)


def _place(error: Exception, path: Path) -> str | None:
    """FILE:LINE of the deepest line of the user's own files that led to an error; None where it is an error of ours."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{shown(Path(error.filename))}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if Path(each.filename).parent == path.parent]
    if own:
        return f"{shown(Path(own[-1].filename))}:{own[-1].lineno}"
    deepest = Path(frames[-1].filename)
    return None if deepest.is_relative_to(PACKAGE) and deepest != Path(__file__) else shown(path)


def shown(path: Path) -> str:
    """A path for people: from the current folder where it lies in it."""
    here = Path.cwd()
    return str(path.relative_to(here) if path.is_relative_to(here) else path)


def _file_in(folder: str, name: str) -> Path | None:
    """The file of an imported module where it was found in `folder`: NAME.py or NAME/__init__.py."""
    file = getattr(sys.modules.get(name), "__file__", None)
    place = Path(folder, *name.split("."))
    return Path(file) if file in (str(place.with_name(f"{place.name}.py")), str(place / "__init__.py")) else None


def _siblings(folder: Path) -> dict[str, str]:
    """File name -> SHA-256 of what a factory imported from its own folder."""
    marked = [name for name, module in sys.modules.items() if getattr(module, "__dict__", {}).get(MARK) == str(folder)]
    files = sorted({file for name in marked if (file := _file_in(str(folder), name)) is not None})
    return {str(file.relative_to(folder)): hashlib.sha256(read_source(file)).hexdigest() for file in files}


def _forget_earlier() -> None:
    """Imports for an earlier factory are forgotten: another folder may hold other files of the same names."""
    for name, module in list(sys.modules.items()):
        if MARK in getattr(module, "__dict__", {}):
            del sys.modules[name]


def _not_there(name: str, found: object, names: dict[str, object]) -> str:
    if found is not None:
        return f"{name} is a {type(found).__name__}; {EXPECTED}."
    own = names["__name__"]
    made = [
        k for k, v in names.items() if callable(v) and getattr(v, "__module__", own) == own and not k.startswith("_")
    ]
    near = difflib.get_close_matches(name, made, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it defines {', '.join(made) or 'no function'}."
    return f"the file defines no {name!r}; {hint}"


def _keywords(reference: str, function: Callable[..., object]) -> tuple[frozenset[str], frozenset[str]]:
    """Which keywords a factory takes, and which it needs. Raises: SpecError for one that needs other arguments."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # written in C: it is called without arguments
        return frozenset(), frozenset()
    named = {p.name: p.default for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
    needed = [p.name for p in parameters if p.default is p.empty and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    strange = [name for name in needed if name not in KEYWORDS or name not in named]
    if strange:
        raise SpecError(f"{reference}: needs the argument {strange[0]!r}, which nobody gives; {EXPECTED}.")
    # A depth that is 50 by default counts layers; it is no multiplier.
    counts = {name for name in MULTIPLIERS if name in named and name not in needed and not _is_one(named[name])}
    return frozenset(named) & frozenset(KEYWORDS) - counts, frozenset(needed)


def _is_one(default: object) -> bool:
    return isinstance(default, int | float) and not isinstance(default, bool) and default == 1
