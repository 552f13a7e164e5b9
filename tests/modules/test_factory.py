"""`file.py:factory`: whose code runs, with which arguments, and what is said when it cannot."""

import hashlib
import sys

import pytest
import torch

from tests.modules.user_code import NETS, write
from triscale.errors import FileError, SpecError, TriscaleError
from triscale.modules.factory import as_factory, load_factory
from triscale.modules.reference import is_reference


@pytest.mark.parametrize(
    ("name", "means_code"),
    [
        ("my.py:net", True),
        ("a folder/my.py:net", True),
        ("my.py", True),
        ("efficientnet_b0", False),
        ("net.json", False),
        ("runs/photos", False),
        ("hf://timm/efficientnet_b0.ra_in1k", False),
    ],
)
def test_a_name_means_code_when_it_names_a_python_file(name, means_code):
    assert is_reference(name) is means_code


def test_a_factory_is_called_with_what_it_takes(code):
    plain, scalable = load_factory(f"{code}:plain"), load_factory(f"{code}:scalable")
    assert (plain.takes, plain.scales_itself) == (frozenset(), False)
    assert (scalable.takes, scalable.scales_itself) == ({"depth", "width", "num_classes"}, True)
    assert plain.make(depth=2.0, num_classes=3).fc.out_features == 1000
    made = scalable.make(depth=2.0, width=1.5, num_classes=3)
    assert (len(made.stages[1]), made.stem[0].out_channels, made.fc.out_features) == (4, 12, 3)
    assert load_factory(f"{code}:Flat").make(num_classes=7).fc.out_features == 7


def test_a_depth_that_counts_layers_is_no_multiplier(code):
    assert load_factory(f"{code}:layers").takes == frozenset()


def test_a_multiplier_without_a_default_is_given(code):
    factory = load_factory(f"{code}:width_only")
    assert (factory.takes, factory.needs) == ({"width"}, {"width"})
    assert factory.make().stem[0].out_channels == 8


def test_a_module_that_is_there_already_is_copied(code):
    factory = load_factory(f"{code}:ready")
    first, second = factory.make(), factory.make()
    assert torch.equal(first.fc.weight, second.fc.weight)
    assert first.fc.weight is not second.fc.weight


def test_the_sources_are_the_file_and_what_it_imports_from_beside_it(code):
    sources = load_factory(f"{code}:plain").sources
    assert sources == {
        name: hashlib.sha256((code.parent / name).read_bytes()).hexdigest() for name in ("nets.py", "blocks.py")
    }


def test_files_of_the_same_name_in_another_folder_are_another_import(code, tmp_path):
    other = write(tmp_path)
    (tmp_path / "blocks.py").write_text("from torch import nn\n\n\ndef Residual(*_):\n    return nn.Identity()\n")
    assert len(list(load_factory(f"{other}:plain").make().stages.parameters())) == 0
    assert len(list(load_factory(f"{code}:plain").make().stages.parameters())) > 0
    assert str(tmp_path) not in sys.path


def test_what_the_code_prints_is_no_output_of_a_command(code, capsys):
    load_factory(f"{code}:plain").make()
    assert capsys.readouterr() == ("", "a line of the user's own\n")


def test_a_function_of_a_running_program_is_a_factory_too():
    def factory(width=1.0):
        return torch.nn.Linear(round(4 * width), 2)

    made = as_factory(factory)
    assert (made.takes, made.reference) == ({"width"}, "test_factory.py:factory")
    assert made.make(width=2.0).in_features == 8


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plian", "defines no 'plian'; did you mean 'plain'?"),
        ("x", "defines no 'x'; it defines Net, plain, scalable"),
        ("WIDTH", "WIDTH is a int; expected factory(depth=1.0, width=1.0, num_classes=…) -> torch.nn.Module"),
        ("needs", "needs the argument 'planes', which nobody gives; expected factory("),
        ("text", "text returned a str; expected factory("),
        ("fails", f"nets.py:{NETS[: NETS.index('[][3]')].count(chr(10)) + 1}: nets.py:fails raised IndexError: list "),
    ],
)
def test_what_is_no_factory_is_one_line(code, name, said):
    with pytest.raises(SpecError) as refused:
        load_factory(f"{code}:{name}").make()
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("def net(:\n", "bad.py:1: bad.py raised SyntaxError: "),
        ("import torch\nimport nothing_of_this_name\n", "bad.py:2: bad.py raised ModuleNotFoundError: No module named"),
        ("\n\nraise ValueError('a\\nb')\n", "bad.py:3: bad.py raised ValueError: a b."),
        ("import broken\n", "broken.py:2: bad.py raised SyntaxError: "),
        ("import sys\nsys.exit(3)\n", 'bad.py ended the program; put what a program does under if __name__ == "__main'),
        ("net = 1\x00", "bad.py: bad.py raised "),
    ],
)
def test_a_file_that_does_not_run_is_one_line_with_its_place(tmp_path, source, said):
    (tmp_path / "bad.py").write_text(source)
    (tmp_path / "broken.py").write_text("x = 1\ny = (\n")
    with pytest.raises(SpecError) as refused:
        load_factory(f"{tmp_path / 'bad.py'}:net")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(tmp_path) not in sys.path


def test_a_missing_file_names_its_neighbour_and_a_file_alone_what_it_defines(code):
    with pytest.raises(FileError, match=r"net.py: no such file; nearby: nets.py"):
        load_factory(f"{code.with_name('net.py')}:plain")
    with pytest.raises(TriscaleError, match=r"nets.py:Net; it defines Net, plain, scalable"):
        load_factory(str(code))
    with pytest.raises(FileError, match="cannot be read: Is a directory"):
        load_factory(f"{code.parent}:plain")


def lazy():
    return torch.nn.Sequential(torch.nn.LazyConv2d(8, 3))


def meta():
    return torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, device="meta"))


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lazy, "lazy: 0.weight has no size before the module has run; run it once on an image there."),
        (meta, "meta: 0.weight is on the meta device and holds no numbers; make the module on the CPU."),
    ],
)
def test_a_module_whose_tensors_hold_nothing_yet_is_refused(function, said):
    with pytest.raises(SpecError) as caught:
        as_factory(function).make()
    assert str(caught.value).endswith(said)
