"""`triscale`: finds the command, runs it, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import difflib
import io
import os
import sys
import types
import typing
from collections.abc import Sequence
from typing import TYPE_CHECKING

from triscale.errors import PeerError, TriscaleError

if TYPE_CHECKING:
    import cyclopts

# name, where it lives, what it does; a command's module is imported when it is called
COMMANDS = (
    ("list", "triscale.cli.list_command:list_command", "The networks that have a name, and what each costs."),
    ("info", "triscale.cli.info:info", "One network: its cost, its blocks, its picture."),
    ("scale", "triscale.cli.scale:scale_command", "A network at other multipliers, or at a budget."),
    ("fit", "triscale.cli.fit:fit_command", "From images and a budget to a trained, exported, verified network."),
    (
        "search",
        "triscale.cli.search:search_app",
        "Search for coefficients of compound scaling, or for the best network inside a budget.",
    ),
    ("train", "triscale.cli.train:train", "Train a network on images."),
    ("recipe", "triscale.cli.recipe:recipe_command", "The recipes that have a name, and all that one of them says."),
    ("eval", "triscale.cli.evaluate:evaluate_command", "How good a trained or exported model is on images."),
    ("predict", "triscale.cli.predict:predict", "What is on these images?"),
    ("export", "triscale.cli.export:export_command", "Write a model for ONNX Runtime or OpenVINO, and verify it."),
    ("bench", "triscale.cli.bench:bench", "How long a network takes on this device, by engine and by layer."),
    ("push", "triscale.cli.push:push_command", "Put a trained model on the Hugging Face Hub, with a model card."),
    ("compare", "triscale.cli.compare:compare", "Several runs side by side."),
    ("data", "triscale.cli.data:data_app", "Look at a data set before a second is spent on it."),
    ("demo", "triscale.cli.demo:demo", "Real weights on real photographs, then `fit` from end to end."),
    ("doctor", "triscale.cli.doctor:doctor", "What is installed here, and what is missing."),
)

UNIONS = (typing.Union, types.UnionType)
KINDS = {int: "a whole number", float: "a number", str: "text"}  # of values, for people

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


def make_app(called: str = "") -> cyclopts.App:
    """The command line as an object; `make_app()(["info", "efficientnet_b0"])` runs a command.

    called: the command whose own help, example and all, may be asked for; of the others only the summary is known.
    """
    import cyclopts

    app = cyclopts.App(
        name="triscale",
        help="Scale depth, width and resolution together: from images and a budget to a network that is ready to ship.",
        version=_version,
        default_parameter=cyclopts.Parameter(negative=()),
        help_format="plaintext",
        suppress_keyboard_interrupt=False,
    )
    for name, target, summary in COMMANDS:
        app.command(target, name=name, help=None if name == called else summary)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns: 0 done; 1 it ran, and what it checked does not hold; 2 the input is wrong; 130 interrupted.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except TriscaleError as error:
        told = isinstance(error, PeerError) and error.told
        return error.exit_code if told else _complain(str(error), error.exit_code)
    except KeyboardInterrupt:
        if _process():
            return INTERRUPTED
        return _complain("interrupted; the same command again goes on where it stopped.", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say, and Python must not complain at exit either.
        _discard_unwritten()
        return 0
    except OSError as error:
        _discard_unwritten()
        place = f"{error.filename}: " if error.filename else ""
        return _complain(f"{place}{error.strerror or error}; put that right and run the same command again.", 2)
    except (MemoryError, RuntimeError) as error:
        if not _out_of_memory(error):
            raise
        return _complain("there is not enough memory for this; smaller images or a smaller batch need less.", 2)


def _run(given: Sequence[str]) -> int:
    import cyclopts  # here, so that Ctrl-C while it loads is answered in one line too

    command = given[0] if given and given[0] in {name for name, _, _ in COMMANDS} else ""
    try:
        result = make_app(command)(given, exit_on_error=False, print_error=False, result_action="return_value")
    except cyclopts.CycloptsError as error:
        place = f"triscale {command}".rstrip()
        told = _usage(error, command, given)
        return _complain(f"{told}{'' if told.endswith('?') else ';'} see `{place} --help`.", 2)
    return result if isinstance(result, int) else 0


def _usage(error: cyclopts.CycloptsError, command: str, given: Sequence[str]) -> str:
    """What is wrong with a command line, in a sentence without its full stop."""
    import cyclopts

    if isinstance(error, cyclopts.UnknownCommandError) and not command:
        near = difflib.get_close_matches(given[0], [name for name, _, _ in COMMANDS], n=1)
        return f"no command is called {given[0]!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    if isinstance(error, cyclopts.MissingArgumentError) and error.argument and error.keyword is None:
        name = error.argument.name
        if error.argument.field_info.is_positional:
            name = name.lstrip("-").upper()
        if not error.argument.tokens:
            return f"`{' '.join(error.command_chain or ())}` needs {name}"
    if isinstance(error, cyclopts.CoercionError) and error.token and typing.get_origin(error.target_type) in UNIONS:
        positional = error.argument.name.lstrip("-").upper() if error.argument else "a value"
        wanted = " or ".join(_kinds(error.target_type))
        return f"{error.token.keyword or positional} must be {wanted}, got {error.token.value!r}"
    return str(error).rstrip(".")


def _kinds(hint: object) -> list[str]:
    """What a value may be, in words: of `int | Literal["auto"] | None`, "a whole number" and "auto"."""
    if typing.get_origin(hint) in UNIONS:
        return [word for each in typing.get_args(hint) if each is not type(None) for word in _kinds(each)]
    if typing.get_origin(hint) is typing.Literal:
        return [str(each) for each in typing.get_args(hint)]
    return [KINDS[hint] if isinstance(hint, type) and hint in KINDS else f"a {getattr(hint, '__name__', hint)}".lower()]


def _out_of_memory(error: Exception) -> bool:
    """Whether numpy, torch's CPU side or a GPU found no memory; torch need not be imported to tell."""
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or "DefaultCPUAllocator" in str(error)
    )


def _version() -> str:
    from importlib import metadata

    return metadata.version("triscale")


def _discard_unwritten() -> None:
    """What standard output did not take now is not tried again when Python ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    who = f"triscale, process {_process()}" if _process() else "triscale"
    print(f"{who}: {line}", file=sys.stderr)
    return code


def _process() -> int:
    """Which of the processes that torchrun started this is; 0 for the first, and where it started none."""
    rank = os.environ.get("RANK", "") if "TORCHELASTIC_RUN_ID" in os.environ else ""
    return int(rank) if rank.isdecimal() else 0


if __name__ == "__main__":
    sys.exit(main())
