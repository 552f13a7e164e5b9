"""`triscale`: finds the command, runs it, and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import os
import sys
from importlib import metadata

import cyclopts

from triscale.errors import TriscaleError

# name, where it lives, what it does; a command's module is imported when it is called
COMMANDS = (
    ("list", "triscale.cli.list_command:list_command", "The networks that have a name, and what each costs."),
    ("info", "triscale.cli.info:info", "One network: its cost, its blocks, its picture."),
    ("scale", "triscale.cli.scale:scale_command", "A network at other multipliers, or at a budget."),
    ("fit", "triscale.cli.fit:fit_command", "From images and a budget to a trained, exported, verified network."),
    ("train", "triscale.cli.train:train", "Train a network on images."),
    ("eval", "triscale.cli.evaluate:evaluate_command", "How good a trained or exported model is on images."),
    ("predict", "triscale.cli.predict:predict", "What is on these images?"),
    ("export", "triscale.cli.export:export_command", "Write a model for ONNX Runtime or OpenVINO, and verify it."),
    ("compare", "triscale.cli.compare:compare", "Several runs side by side."),
    ("data", "triscale.cli.data:data_app", "Look at a data set before a second is spent on it."),
    ("demo", "triscale.cli.demo:demo", "Real weights on real photographs, then `fit` from end to end."),
    ("doctor", "triscale.cli.doctor:doctor", "What is installed here, and what is missing."),
)

INTERRUPTED = 130  # what shells expect of a program that Ctrl-C ended


def make_app() -> cyclopts.App:
    """The command line as an object; `make_app()(["info", "efficientnet_b0"])` runs a command."""
    app = cyclopts.App(
        name="triscale",
        help="Scale depth, width and resolution together: from images and a budget to a network that is ready to ship.",
        version=lambda: metadata.version("triscale"),
        default_parameter=cyclopts.Parameter(negative=()),
        help_format="plaintext",
    )
    for name, target, summary in COMMANDS:
        app.command(target, name=name, help=summary)
    return app


def main(arguments: list[str] | None = None) -> int:
    """Run one command.

    Returns: 0 done; 1 it ran, and what it checked does not hold; 2 the input is wrong; 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        result = make_app()(given, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except TriscaleError as error:
        return _complain(str(error), error.exit_code)
    except cyclopts.CycloptsError as error:
        command = f"triscale {given[0]}" if given and not given[0].startswith("-") else "triscale"
        return _complain(f"{str(error).rstrip('.')}; see `{command} --help`.", 2)
    except KeyboardInterrupt:
        return _complain("interrupted; the same command again goes on where it stopped.", INTERRUPTED)
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing is left to say, and Python must not complain at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _complain(message: str, code: int) -> int:
    line = " ".join(message.split())
    print(f"triscale: {line}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
