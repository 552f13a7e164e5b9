"""A user's own module on the command line: scaled, trained, resumed, exported, used; and what is said otherwise."""

import json
import signal
from pathlib import Path

import pytest
import safetensors.torch
import torch

import triscale as ts
from tests.commands import Commands
from tests.fitted import refusal, triscale
from tests.images import make_folder
from tests.modules.user_code import NETS, write
from triscale.modules.factory import load_factory
from triscale.training.config import read_config, write_config
from triscale.training.run import read_run


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with `nets.py`, what it imports, and `photos` of three classes; no test changes it."""
    folder = tmp_path_factory.mktemp("place")
    write(folder)
    make_folder(folder / "photos", 3, 10)
    return folder


@pytest.fixture(scope="module")
def trained(place):
    """(run, what was said) of a module that was scaled by tracing and trained."""
    run = place / "runs" / "plain"
    return run, triscale(*arguments(place, "plain", run, "--depth", "1.5", "--width", "2"))


def arguments(place, name, out, *more, epochs=2):
    size = ("--size", "32", "--epochs", str(epochs), "--batch-size", "8")
    return ["train", f"{place / 'nets.py'}:{name}", place / "photos", "--out", out, *size, *more]


def test_a_factory_with_depth_and_width_is_called_until_the_budget_is_used(place, tmp_path):
    name, budget = f"{place / 'nets.py'}:scalable", "macs<=2M, params<=200K"
    done = triscale("scale", name, "--to", budget, "--size", "64", "--out", tmp_path / "s.safetensors", "--json")
    assert done.code == 0
    found = json.loads(done.out)
    assert found["macs"] <= 2e6
    assert found["params"] <= 200e3
    assert max(found["macs"] / 2e6, found["params"] / 200e3) > 0.85
    called = found["called_with"]
    made = load_factory(name).make(called["depth"], called["width"])
    assert sum(p.numel() for p in made.parameters()) == found["params"]
    assert ts.load(tmp_path / "s.safetensors", module=made).costs((64, 64)) == (found["params"], found["macs"])


def test_any_other_module_is_scaled_by_tracing_and_says_what_is_fresh(place):
    name = f"{place / 'nets.py'}:plain"
    done = triscale("scale", name, "--depth", "1.5", "--width", "2", "--size", "64")
    assert done.code == 0
    for line in (
        "nets.py:plain at 64 x 64 px",
        "8 -> 16, 16 -> 32",
        "stage stages.1.0..1: 2 -> 3",
        "freshly initialised",
    ):
        assert line in done.out
    assert f"train it: triscale train {name} DATA --size 64 --depth 1.5 --width 2\n" in done.out


def test_a_budget_is_met_by_tracing_too(place, tmp_path):
    assert triscale(*arguments(place, "plain", tmp_path / "run", "--to", "macs<=2M", epochs=1)).code == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert 0.9 * 2e6 < metrics["macs"] <= 2e6
    # Read again, the budget is solved again, for the classes and the size of then.
    model = ts.load(tmp_path / "run" / "model.safetensors", module=load_factory(f"{place / 'nets.py'}:plain"))
    assert model.costs((32, 32)) == (metrics["params"], metrics["macs"])


def test_a_module_is_trained_as_any_network(place, trained):
    run, done = trained
    assert done.code == 0
    assert done.out.endswith(f"validation images; {run / 'model.safetensors'}\n")
    assert "plain: fc is fresh, with 3 outputs" in done.err
    module = read_run(run).arguments["module"]
    assert (module["factory"], module["depth"], module["width"]) == ("nets.py:plain", 1.5, 2.0)
    assert sorted(module["sources"]) == ["blocks.py", "nets.py"]
    metrics = json.loads((run / "metrics.json").read_text())
    model = ts.load(run / "model.safetensors", module=load_factory(f"{place / 'nets.py'}:plain"))
    assert (len(model.module.stages[1]), model.module.fc.weight.shape) == (3, (3, 32))
    assert (metrics["params"], metrics["macs"]) == model.costs((32, 32))
    assert model.card.classes == ("apple", "bridge", "cloud")
    assert not (run / "network.json").exists()
    again = triscale(*arguments(place, "plain", run, "--depth", "1.5", "--width", "2"), "--json")
    assert (again.code, json.loads(again.out)) == (0, metrics)


def test_a_run_is_evaluated_exported_and_asked_with_its_code(place, trained, tmp_path):
    run, code = trained[0], ("--module", f"{place / 'nets.py'}:plain")
    exported = triscale("export", run, tmp_path / "m.onnx", *code, "--images", place / "photos", "--json")
    assert exported.code == 0
    found = json.loads(exported.out)
    assert (found["verified"], found["images"], found["top1_agreement"]) == (True, 30, 1.0)
    judged = [triscale("eval", each, place / "photos", "--json") for each in (tmp_path / "m.onnx",)]
    judged.append(triscale("eval", run, place / "photos", *code, "--json"))
    first, second = (json.loads(each.out) for each in judged)
    for name in ("loss", "ece", "ece_scaled", "loss_scaled"):  # of two engines, whose logits differ in the last digits
        assert first.pop(name, None) == pytest.approx(second.pop(name, None), abs=1e-5)
    assert first == second
    assert json.loads(judged[0].out)["top1"] == json.loads((run / "metrics.json").read_text())["top1"]
    photo = place / "photos" / "apple" / "000.png"
    answers = [
        json.loads(triscale("predict", *each, photo, "--json").out) for each in ((tmp_path / "m.onnx",), (run, *code))
    ]
    assert [label["name"] for label in answers[0][0]["labels"]] == [label["name"] for label in answers[1][0]["labels"]]
    assert triscale("compare", run, run).code == 0


def test_a_module_with_the_weights_of_its_code_is_exported(place, tmp_path):
    done = triscale("export", f"{place / 'nets.py'}:ready", tmp_path / "m.xml", "--size", "40", "48", "--count", "3")
    assert done.code == 0
    assert done.err.startswith("triscale: note: ")
    assert "its weights are those that its code gives it" in done.err


def test_a_module_is_timed_on_this_device_with_the_weights_of_a_run_or_of_its_code(place, trained):
    code = f"{place / 'nets.py'}:plain"
    options = ("--module", code, "--engine", "torch", "--size", "32", "--threads", "1", "--quiet", "--json")
    done = triscale("bench", trained[0], code, *options)
    assert done.code == 0
    rows = [(Path(row["model"]).name, row["engine"], row["runs"]) for row in json.loads(done.out)]
    assert rows == [("plain", "torch", 50), ("nets.py:plain", "torch", 50)]


def test_what_scale_wrote_is_trained_on(place, tmp_path):
    name = f"{place / 'nets.py'}:scalable"
    assert triscale("scale", name, "--width", "2", "--size", "32", "--out", tmp_path / "s.safetensors").code == 0
    weights = ("--weights", tmp_path / "s.safetensors")
    assert triscale(*arguments(place, "scalable", tmp_path / "run", *weights, epochs=1)).code == 0
    model = ts.load(tmp_path / "run" / "model.safetensors", module=load_factory(name))
    assert (model.module.stem[0].out_channels, model.outputs) == (16, 3)
    said = refusal(*arguments(place, "scalable", tmp_path / "other", *weights, "--depth", "2"))
    assert "says by how much its module is scaled; leave out --depth, --width and --to" in said


def test_a_plain_state_dict_is_trained_on_with_a_fresh_classifier(place, tmp_path):
    module = load_factory(f"{place / 'nets.py'}:plain").make()
    torch.save(module.state_dict(), tmp_path / "mine.pth")
    run = tmp_path / "run"
    done = triscale(*arguments(place, "plain", run, "--weights", tmp_path / "mine.pth", epochs=1))
    assert done.code == 0
    assert "plain: fc is fresh, with 3 outputs" in done.err
    assert read_config(run / "config.toml")["recipe"]["least_steps"] == 0


def test_a_killed_run_ends_with_the_weights_of_an_undisturbed_one(place, trained, tmp_path):
    recipe = {**read_config(trained[0] / "config.toml")["recipe"], "checkpoint_steps": 1}
    write_config(tmp_path / "config.toml", {"recipe": recipe})
    options = ("--config", tmp_path / "config.toml", "--width", "1.5")
    with Commands(tmp_path, whole=True, imports="import triscale.cli.main, triscale.cli.own") as commands:
        assert commands.do(*arguments(place, "plain", tmp_path / "undisturbed", *options, epochs=4)).code == 0
        commands.start(*arguments(place, "plain", tmp_path / "killed", *options, epochs=4))
        commands.when(tmp_path / "killed" / "checkpoints" / "step-00000004.json")
        assert commands.strike(signal.SIGKILL).code == -signal.SIGKILL
        assert commands.do(*arguments(place, "plain", tmp_path / "killed", *options, epochs=4)).code == 0
    found, expected = (
        safetensors.torch.load_file(tmp_path / run / "model.safetensors") for run in ("killed", "undisturbed")
    )
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_changed_code_is_no_resumption_but_can_be_used_with_a_note(place, trained, tmp_path):
    write(tmp_path)
    (tmp_path / "blocks.py").write_text((tmp_path / "blocks.py").read_text() + "# another\n")
    (tmp_path / "photos").symlink_to(place / "photos")
    said = refusal(*arguments(tmp_path, "plain", trained[0], "--depth", "1.5", "--width", "2"))
    assert "module.sources.blocks.py was '" in said
    assert "give the same arguments to resume it, or another folder" in said
    photo = place / "photos" / "apple" / "000.png"
    done = triscale("predict", trained[0], photo, "--module", f"{tmp_path / 'nets.py'}:plain")
    assert done.code == 0
    assert "triscale: note: blocks.py changed since these weights were made" in done.err


LINE = NETS[: NETS.index("[][3]")].count("\n") + 1


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("train", "none.py:plain", "photos"), "none.py: no such file"),
        (("train", "nets.py:plian", "photos"), "nets.py:plian: the file defines no 'plian'; did you mean 'plain'?"),
        (("train", "nets.py", "photos"), "nets.py: say which factory in it, as nets.py:Net; it defines Net, plain"),
        (("train", "broken.py:net", "photos"), "broken.py:1: broken.py raised SyntaxError: "),
        (("train", "nets.py:fails", "photos"), f"nets.py:{LINE}: nets.py:fails raised IndexError: list index out of"),
        (("train", "nets.py:text", "photos"), "nets.py: text returned a str; expected factory("),
        (
            ("train", "nets.py:Maps", "photos", "--size", "32"),
            "answers images of shape (2, 3, 32, 32) with shape (2, 4",
        ),
        (
            ("train", "nets.py:plain", "photos", "--weights", "pretrained"),
            "nobody published weights for it; give --weights a file",
        ),
        (("train", "nets.py:plain", "photos", "--grow-from", "efficientnet_lite0"), "--grow-from is for networks"),
        (("train", "nets.py:plain", "photos", "--weights", "no.pth"), "no.pth: no such file"),
        (("train", "nets.py:plain", "photos", "--depth", "2", "--to", "macs<=1M"), "give one of the two"),
        (("train", "nets.py:plain", "photos", "--width", "-1"), "--width must be above 0 and at most 100, got -1"),
        (
            ("train", "efficientnet_b0", "photos", "--depth", "2"),
            "--depth, --width and --to scale a module of your own",
        ),
        (("train", "nets.py:width_only", "photos", "--depth", "2", "--size", "32"), "takes no depth; add the argument"),
        (("scale", "nets.py:HardCoded", "--width", "2", "--size", "32"), "reshape"),
        (("scale", "nets.py:plain"), "scale takes --depth and --width, or --to BUDGET, for nets.py:plain"),
        (("scale", "nets.py:plain", "--to", ""), "budget '': it is empty; write limits as"),
        (("scale", "none.py:plain", "--to", "mac<=1M"), "unknown word 'mac'; did you mean 'macs'?"),
        (("scale", "nets.py:plain", "--phi", "1"), "--phi is for networks; a module of your own takes --depth"),
        (("scale", "nets.py:plain", "--width", "2", "--out", "net.json"), "got 'net.json'; end it in .safetensors"),
        (("scale", "nets.py:plain", "--to", "latency<=2ms"), "latency belongs to an exported file"),
        (("scale", "nets.py:scalable", "--to", "params<=10"), "nothing that nets.py:scalable makes is inside"),
        (("scale", "efficientnet_b0", "--to", "macs<=1G", "--size", "64"), "--size is for a module of your own"),
        (("push", "nets.py:plain", "hf://me/photos"), "is a module of your own, not a Network; give a name, a run or"),
        (("info", "nets.py:plain"), "is a module of your own, not a Network: scale, train, export and bench take it"),
        (("info", "RUN"), "holds the weights of a module of your own, not of a Network"),
        (("train", "RUN", "photos"), "name its code, and the file after --weights"),
        (("bench", "RUN"), "--module path/to/nets.py:plain where a command takes it"),
        (("bench", "nets.py:plain", "--table"), "is a module of your own, not a Network"),
        (("predict", "nets.py:plain", "photos"), "is code without weights; give a run or a model file, and --module"),
        (("predict", "RUN", "photos"), "a module of your own (nets.py:plain), no Network; its code is needed"),
        (("export", "RUN", "m.onnx"), "--module path/to/nets.py:plain where a command takes it"),
        (
            ("export", "RUN", "m.onnx", "--module", "nets.py:scalable"),
            "does not fit nets.py:plain: stem.0.weight has shape (16, 3, 3, 3) instead of (8, 3, 3, 3)",
        ),
        (("export", "nets.py:plain", "m.onnx", "--module", "nets.py:plain"), "is code already"),
        (("export", "efficientnet_lite0", "m.onnx", "--module", "nets.py:plain"), "needs no code"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_cannot_be_is_one_line(place, trained, tmp_path, monkeypatch, words, said):
    write(tmp_path)
    (tmp_path / "broken.py").write_text("def net(:\n")
    (tmp_path / "photos").symlink_to(place / "photos")
    monkeypatch.chdir(tmp_path)
    assert said in refusal(*(str(trained[0]) if word == "RUN" else word for word in words))
    assert not list(tmp_path.glob("runs/*/model.safetensors"))
