"""`train`: one network, one data set; stopped, resumed, done; and weights that are not what they should be."""

import json
import os
import signal

import pytest
import safetensors.torch
import torch

import triscale as ts
import triscale.training.loop as loop
import triscale.training.progress as progress
from tests.fitted import refusal, triscale
from tests.images import make_folder
from tests.models.test_tensors import MARK, RunsCode
from tests.training.tiny import tiny_model, tiny_network
from triscale.spec.files import write_network
from triscale.training.config import read_config, write_config
from triscale.training.recipe import Recipe
from triscale.training.run import RunFolder, read_run


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "tiny.json"
    write_network(tiny_network(classes=1000), path)
    return path


@pytest.fixture(scope="module")
def trained(net, images, tmp_path_factory):
    """(run, what was said) of a training that nothing stopped."""
    run = tmp_path_factory.mktemp("trained") / "run"
    return run, triscale(*arguments(net, images, run))


def arguments(net, images, out, *more):
    return ["train", net, images, "--epochs", "2", "--batch-size", "8", "--out", out, *more]


def test_a_network_is_trained_and_then_done(net, images, trained):
    run, done = trained
    assert done.code == 0
    assert done.out.endswith(f"validation images; {run / 'model.safetensors'}\n")
    model = ts.load(run / "model.safetensors")
    assert model.card.classes == ("apple", "bridge", "cloud")
    assert (model.network.classes, model.network.resolution) == (3, (32, 32))
    assert (read_run(run).command, read_run(run).state) == ("train", "done")
    again = triscale(*arguments(net, images, run), "--json")
    assert (again.code, again.err) == (0, f"{run}: is done already\n")
    assert {"split", "top1", "top5", "per_class", "seconds", "params", "macs"} <= set(json.loads(again.out))
    for command in (("predict", run, images / "apple"), ("eval", run, images)):
        assert triscale(*command).code == 0


def test_a_table_with_splits_is_judged_on_its_test_images_from_wherever_it_is_called(net, tmp_path, monkeypatch):
    make_folder(tmp_path / "data", splits={"train": 6, "val": 3, "test": 2})
    rows = [each.relative_to(tmp_path) for each in sorted((tmp_path / "data").rglob("*.png"))]
    table = "".join(f"{each};{each.parent.name};{each.parts[1]}\n" for each in rows)
    (tmp_path / "photos.csv").write_text("path;label;split\n" + table)
    done = triscale(*arguments(net, tmp_path / "photos.csv", tmp_path / "run"))
    assert (done.code, done.out.split("%")[1]) == (0, f" of 6 test images; {tmp_path / 'run' / 'model.safetensors'}\n")
    monkeypatch.chdir(tmp_path / "data")
    again = triscale(*arguments(net, "../photos.csv", "../run"), "--json")
    assert (again.code, again.err) == (0, "../run: is done already\n")
    assert (json.loads(again.out)["split"], json.loads(again.out)["images"]) == ("test", 6)


def test_other_arguments_are_refused_with_the_difference(net, images, trained):
    said = refusal(*arguments(net, images, trained[0], "--learning-rate", "0.5"))
    assert "recipe.learning_rate was 0.004, is now 0.5" in said
    assert "give the same arguments to resume it, or another folder" in said


def test_ctrl_c_and_the_same_command_end_with_the_weights_of_an_undisturbed_run(
    net, images, trained, tmp_path, monkeypatch
):
    class Stopped(progress.SilentProgress):
        left = 3

        def advance(self, steps=1, detail=""):
            Stopped.left -= 1
            if Stopped.left == 0:
                os.kill(os.getpid(), signal.SIGINT)

    with monkeypatch.context() as during:
        during.setattr(progress, "choose_progress", lambda quiet=False: Stopped())
        done = triscale(*arguments(net, images, tmp_path / "run"))
    assert done.code == 130
    assert done.complaint == "triscale: interrupted; the same command again goes on where it stopped."
    assert read_run(tmp_path / "run").state == "interrupted"
    assert triscale(*arguments(net, images, tmp_path / "run")).code == 0
    found, expected = (
        safetensors.torch.load_file(each / "model.safetensors") for each in (tmp_path / "run", trained[0])
    )
    assert all(torch.equal(found[key], value) for key, value in expected.items())


def test_published_weights_at_another_size(images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    lite = ("train", "efficientnet_lite0", images, "--weights", "pretrained", "--size", "32", "--epochs", "1")
    assert triscale(*lite).code == 0
    run = tmp_path / "runs" / "photos-efficientnet_lite0"  # where a run goes that says no --out
    assert read_config(run / "config.toml")["recipe"]["learning_rate"] == Recipe().learning_rate
    model = ts.load(run / "model.safetensors")
    assert model.preprocessing.size == (32, 32)
    assert model.card.licence == "Apache-2.0"


def test_a_larger_network_is_grown_from_a_run_of_a_smaller_one(images, trained, tmp_path):
    small = ts.load(trained[0] / "model.safetensors")
    write_network(ts.scale(tiny_network(classes=1000), depth=2, width=1.5), tmp_path / "large.json")
    command = arguments(tmp_path / "large.json", images, tmp_path / "run", "--grow-from", trained[0])
    done = triscale(*command)
    assert done.code == 0
    large = ts.load(tmp_path / "run" / "model.safetensors")
    assert ts.cost(large.network).params > ts.cost(small.network).params
    assert f"grown from {small.network.name} to {large.network.name}" in large.card.notes
    assert read_run(tmp_path / "run").arguments["grow_from"] == str(trained[0].resolve())
    assert read_config(tmp_path / "run" / "config.toml")["recipe"]["least_steps"] == 0
    assert triscale(*command).err.endswith("is done already\n")
    assert "grow_from was" in refusal(*command[:-2])


def test_growing_may_change_the_classes(images, net, tmp_path):
    """The smaller model answers 1,000 classes, the images have three."""
    torch.manual_seed(0)
    ts.save(ts.create_model(ts.read_network(net)), tmp_path / "small.safetensors")
    write_network(ts.scale(ts.read_network(net), width=2), tmp_path / "large.json")
    command = arguments(
        tmp_path / "large.json", images, tmp_path / "run", "--grow-from", tmp_path / "small.safetensors"
    )
    assert triscale(*command).code == 0
    assert ts.load(tmp_path / "run" / "model.safetensors").network.classes == 3


def test_a_teacher_is_learnt_from_and_parts_are_frozen(net, images, trained, tmp_path, monkeypatch):
    teacher, _ = trained
    monkeypatch.chdir(teacher.parent)
    more = (
        "--teacher",
        teacher.name,
        "--set",
        "distillation.temperature=3",
        "--freeze",
        "stem",
        "--freeze",
        "stages.0",
    )
    done = triscale(*arguments(net, images, tmp_path / "run", *more, "--set", "head_epochs=0.5"))
    assert done.code == 0
    assert "the teacher tiny sees the images at 32x32 pixels; its answers are 50% of the loss, at temp" in done.err
    assert "only the classifier trains for" in done.err
    asked = read_run(tmp_path / "run").arguments
    assert asked["recipe"]["distillation"] == {
        "teacher": str(teacher.resolve()), "weight": 0.5, "temperature": 3.0, "features": 0.0, "maps": []
    }  # fmt: skip
    assert asked["recipe"]["freeze"] == ["stem", "stages.0"]
    assert len(asked["teacher_sha256"]) == 64
    assert triscale(*arguments(net, images, tmp_path / "run", *more, "--set", "head_epochs=0.5")).code == 0


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--teacher", "nowhere/run"), "no such teacher"),
        (("--teacher", "model.onnx"), "model.onnx: is an exported file; give the run or the model.safetensors"),
        (("--teacher", "efficientnet_b7"), "efficientnet_b7 has no pretrained weights on this machine"),
        (
            ("--teacher", "efficientnet_lite0"),
            "its 1,000 classes lack apple, bridge, cloud; train it on this data first",
        ),
        (
            ("--teacher", "a", "--set", "distillation.teacher=b"),
            "--teacher and --set distillation.teacher say the same",
        ),
        (("--set", "distillation.temperature=2"), "has no teacher; give --teacher MODEL"),
        (("--set", "distillation.temprature=2"), "did you mean 'temperature'?"),
        (("--freeze", "stam"), "Recipe.freeze: the model has no module 'stam'; it has stem"),
    ],
)
def test_what_cannot_be_learnt_from_or_frozen_is_one_line_and_the_folder_stays_free(net, images, tmp_path, more, said):
    assert said in refusal(*arguments(net, images, tmp_path / "run", *more))
    with RunFolder.open(tmp_path / "run", "train", {"freeze": "spelt right"}):
        assert [each.name for each in (tmp_path / "run").iterdir() if not each.name.startswith(".")] == ["run.json"]


def test_what_cannot_be_grown_is_one_line_and_the_folder_stays_free(images, net, trained, tmp_path):
    write_network(ts.scale(ts.read_network(net), width=0.5), tmp_path / "narrow.json")
    out = tmp_path / "run"
    said = refusal(*arguments(tmp_path / "narrow.json", images, out, "--grow-from", trained[0]))
    assert "cannot be grown from" in said
    assert "has only" in said
    said = refusal(*arguments(net, images, out, "--grow-from", trained[0], "--weights", "pretrained"))
    assert said.endswith("--grow-from brings the weights of the smaller model; give it or --weights, not both.")
    assert "b0 has no pretrained weights" in refusal(*arguments(net, images, out, "--grow-from", "efficientnet_b0"))
    assert "no such file or run folder" in refusal(
        *arguments(net, images, out, "--grow-from", tmp_path / "x.safetensors")
    )
    assert triscale(*arguments(net, images, out)).code == 0


def test_the_recipe_of_an_earlier_run_is_taken_but_for_what_is_given(net, images, trained, tmp_path):
    recipe = {**read_config(trained[0] / "config.toml")["recipe"], "epochs": 1, "optimiser": "sgd"}
    write_config(tmp_path / "config.toml", {"recipe": recipe})
    again = ("train", net, images, "--config", tmp_path / "config.toml", "--learning-rate", "0.01", "--no-mirror")
    assert triscale(*again, "--out", tmp_path / "again").code == 0
    augmentation = {**recipe["augmentation"], "flip": 0.0, "flip_vertical": 0.0}
    expected = {**recipe, "learning_rate": 0.01, "augmentation": augmentation}
    assert read_config(tmp_path / "again" / "config.toml")["recipe"] == expected


def weights_of_another_network(path):
    safetensors.torch.save_file(tiny_model(channels=24).state_dict(), path)


def unrelated_weights(path):
    safetensors.torch.save_file({"encoder.0.weight": torch.zeros(3)}, path)


def truncated(path):
    torch.save(tiny_model().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-2000])


def pickled_code(path):
    torch.save({"stem.conv.weight": RunsCode()}, path)


@pytest.mark.parametrize(
    ("write", "said"),
    [
        (weights_of_another_network, "stages.1.0.project.conv.weight 24x16x1x1 instead of 16x16x1x1"),
        (unrelated_weights, "none of its 1 names belongs to tiny (it begins with encoder.0.weight)"),
        (truncated, "truncated"),
        (pickled_code, "holds Python objects (posix.system) that only running its code could load"),
        (lambda path: path.write_text("{}"), "weights.pth: "),
        (lambda path: None, "weights.pth: no such file"),
    ],
)
def test_wrong_weights_are_one_line_and_the_folder_stays_free(net, images, tmp_path, write, said):
    write(tmp_path / "weights.pth")
    assert said in refusal(*arguments(net, images, tmp_path / "run", "--weights", tmp_path / "weights.pth"))
    assert not MARK.exists()
    # Nothing was made, so that the folder is free for the same command with the right file.
    assert [each.name for each in (tmp_path / "run").iterdir() if not each.name.startswith(".")] == ["run.json"]
    assert read_run(tmp_path / "run").state == "failed"


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--epochs", "0"), "epochs must be at least 1, got 0"),
        (("--batch-size", "0"), "batch_size must be at least 1, got 0"),
        (("--learning-rate", "-1"), "learning_rate must be above 0"),
        (("--learning-rate", "nan"), "learning_rate must be above 0"),
        (("--seed", "-1"), "seed must be at least 0"),
        (("--size", "0"), "got (0, 0)"),
        (("--recipe", "best"), "unknown recipe 'best'; choose one of"),
        (("--config", "missing.toml"), "missing.toml: cannot be read"),
        (("--config", "tiny.json"), "tiny.json: is not TOML"),
        (("--config", "typo.toml"), "unknown key 'epoch'; did you mean 'epochs'?"),
        (("--config", "typo.toml", "--recipe", "quick"), "unknown key 'epoch'; did you mean 'epochs'?"),
        (("--set", "epoch=3"), "--set: unknown key 'epoch'; did you mean 'epochs'?"),
    ],
)
def test_wrong_options_are_one_line_and_no_folder_is_made(net, images, tmp_path, monkeypatch, more, said):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tiny.json").write_bytes(net.read_bytes())
    (tmp_path / "typo.toml").write_text("[recipe]\nepoch = 3\n")
    assert said in refusal("train", net, images, "--out", "run", *more)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("error", [MemoryError("3.49 TiB"), RuntimeError("DefaultCPUAllocator: can't allocate memory")])
def test_too_little_memory_is_one_line(net, images, tmp_path, monkeypatch, error):
    def hungry(*_):
        raise error

    monkeypatch.setattr(loop, "train", hungry)
    assert "there is not enough memory for this; smaller images" in refusal(*arguments(net, images, tmp_path / "run"))


def test_a_bug_of_ours_is_not_hidden(net, images, tmp_path, monkeypatch):
    def wrong(*_):
        raise RuntimeError("a bug")

    monkeypatch.setattr(loop, "train", wrong)
    with pytest.raises(RuntimeError, match="a bug"):
        triscale(*arguments(net, images, tmp_path / "run"))
