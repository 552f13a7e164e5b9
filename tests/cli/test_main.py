"""What holds for every command: help, usage errors, output that nobody reads."""

import importlib
import inspect
import re
import shlex
import subprocess
import sys
from typing import Literal

import cyclopts
import pytest

from tests.fitted import refusal, triscale
from triscale.cli.data import check
from triscale.cli.main import COMMANDS, _usage
from triscale.cli.search import budget, coefficients

TARGETS = {name: target for name, target, _ in COMMANDS}
PARTS = {"data check": check, "search coefficients": coefficients, "search budget": budget}
NAMES = [name for name, _, _ in COMMANDS if name not in ("data", "search")] + list(PARTS)


def function_of(name):
    module, _, function = TARGETS[name].partition(":")
    return getattr(importlib.import_module(module), function)


def test_no_arguments_show_every_command():
    done = triscale()
    assert (done.code, done.err) == (0, "")
    for name, _, _ in COMMANDS:
        assert re.search(rf"│ {name} ", done.out)
    assert triscale("-h").out == triscale("--help").out == done.out


@pytest.mark.parametrize("name", NAMES)
def test_the_help_of_each_command_says_what_it_does_with_an_example(name):
    done = triscale(*name.split(), "--help")
    assert (done.code, done.err) == (0, "")
    assert re.search(rf"^Example: triscale {name}( |$)", done.out, flags=re.MULTILINE)
    assert triscale(*name.split(), "-h").out == done.out


@pytest.mark.parametrize("name", NAMES)
def test_every_argument_is_explained(name):
    command = PARTS[name] if name in PARTS else function_of(name)
    explained = re.findall(r"^    (\w+)\n        \S", command.__doc__.split("----------")[1], flags=re.MULTILINE)
    assert explained == list(inspect.signature(command).parameters)


@pytest.mark.parametrize("name", ["list", "info", "doctor", "scale", "recipe"])
def test_the_example_of_a_cheap_command_runs(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    example = re.search(r"^Example: triscale (.+?)\n\n", triscale(name, "--help").out, flags=re.MULTILINE | re.DOTALL)
    assert triscale(*shlex.split(example[1])).code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("fitt",), "no command is called 'fitt'; did you mean 'fit'? see `triscale --help`."),
        (("zzz",), "no command is called 'zzz'; see `triscale --help`."),
        (("fit",), "`fit` needs DATA; see `triscale fit --help`."),
        (("fit", "photos"), "`fit` needs --budget; see `triscale fit --help`."),
        (("fit", "photos", "--budget"), "--budget requires an argument; see `triscale fit --help`."),
        (("fit", "x", "--budget", "macs<=1G", "--epoch", "1"), "Unknown option: --epoch. Did you mean --epochs?"),
        (("fit", "x", "--budget", "macs<=1G", "--epochs", "x"), 'unable to convert "x" into int'),
        (("fit", "x", "--budget", "macs<=1G", "--engine", "x"), 'Choose from: "onnx", "openvino"'),
        (
            ("train", "b0", "x", "--batch", "aut"),
            "--batch must be a whole number or auto, got 'aut'; see `triscale train --help`.",
        ),
        (("train", "b0", "x", "--batch-size", "all"), "--batch-size must be a whole number or auto, got 'all'; see"),
        (("data", "check"), "`data check` needs PATH; see `triscale data --help`."),
        (("data", "chek"), 'Did you mean "check"?'),
        (("predict", "model.onnx"), "`predict` needs IMAGES"),
        (("list", "a", "b"), "Unused Tokens: ['b']"),
    ],
)
def test_a_wrong_command_line_is_one_line(arguments, said):
    assert said in refusal(*arguments)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (int | Literal["auto", "all"] | None, "--some must be a whole number or auto or all, got 'x'"),
        (int | float, "--some must be a whole number or a number, got 'x'"),
        (float | Literal["half"], "--some must be a number or half, got 'x'"),
    ],
)
def test_a_value_of_several_kinds_is_named_in_words(kind, said):
    app = cyclopts.App(result_action="return_value")

    @app.default
    def command(*, some=None):
        return some

    command.__annotations__["some"] = kind
    with pytest.raises(cyclopts.CoercionError) as wrong:
        app(["--some", "x"], exit_on_error=False, print_error=False)
    assert _usage(wrong.value, "", ["--some", "x"]) == said


def test_the_version_is_that_of_the_package():
    assert re.fullmatch(r"\d+\.\d+\.\d+\n", triscale("--version").out)


def test_python_m_triscale_is_the_same_program():
    done = subprocess.run([sys.executable, "-m", "triscale", "info", "b0"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("triscale: no network is called 'b0'")


def shell(command):
    """What a shell's pipeline says: `triscale` stands for the program."""
    program = command.replace("triscale", f"{shlex.quote(sys.executable)} -m triscale")
    return subprocess.run(["bash", "-c", f"set -o pipefail; {program}"], capture_output=True, text=True)


def test_a_reader_that_stops_reading_is_no_error():
    done = shell("triscale info efficientnet_b7 --layers | head -1")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_full_disk_behind_standard_output_is_one_line():
    done = shell("triscale list > /dev/full")
    assert done.returncode == 2
    assert done.stderr == "triscale: No space left on device; put that right and run the same command again.\n"
