"""A user's module with what training and deployment need; written to a file and read back with its code."""

import json

import pytest
import safetensors
import safetensors.torch
import torch
from torch import nn

import triscale as ts
from tests.modules.user_code import images, write
from triscale.errors import FileError, SpecError, WeightsError
from triscale.modules.build import build
from triscale.modules.factory import load_factory
from triscale.modules.files import changed_sources, load, put
from triscale.modules.plain import Origin, PlainModel, Scaling, rehearse
from triscale.spec.preprocessing import Preprocessing

SIZE = (32, 32)


def made(code, name, **options):
    torch.manual_seed(0)
    return build(load_factory(f"{code}:{name}"), SIZE, **options)


@pytest.fixture(scope="module")
def written(code, tmp_path_factory):
    """(model, file) of a factory that was called with multipliers."""
    model = made(code, "scalable", classes=3, scaling=Scaling(depth=2.0, width=1.5)).model.eval()
    path = tmp_path_factory.mktemp("written") / "model.safetensors"
    ts.save(model, path)
    return model, path


def test_a_module_gets_imagenets_preprocessing_or_its_own(code):
    assert made(code, "plain").model.preprocessing == Preprocessing(size=SIZE)
    grey = nn.Sequential(nn.Conv2d(1, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    factory = load_factory(f"{code}:plain")
    model = build(_returning(factory, grey), SIZE).model
    assert (model.in_channels, model.preprocessing.size) == (1, SIZE)
    grey.preprocessing = Preprocessing(size=(300, 300), mean=(0.5,), std=(0.5,), fit="squash")
    model = build(_returning(factory, grey), SIZE).model
    assert model.preprocessing == Preprocessing(size=SIZE, mean=(0.5,), std=(0.5,), fit="squash")


def _returning(factory, module):
    return type(factory)(factory.path, "net", lambda: module, {}, frozenset())


def test_its_cost_is_counted_as_it_runs(code):
    model = made(code, "plain", classes=3).model
    assert model.costs(SIZE)[0] == sum(p.numel() for p in model.parameters())
    # The stem: 16 x 16 outputs of 8 channels, each of 3 x 3 x 3 products.
    assert model.costs(SIZE)[1] == 4 * model.costs((16, 16))[1] - 3 * 16 * 3
    assert made(code, "ready").model.costs((8, 8))[1] == 2 * 8 * 8 * 3 * 27 + 192 * 4


def test_the_recipes_dropout_is_set_where_there_is_one_and_said_where_there_is_none(code):
    model = made(code, "plain").model
    assert model.regularise(0.3, None) == ()
    assert model.module.dropout.p == 0.3
    assert made(code, "ready").model.regularise(0.3, 0.2) == (
        "nets.py:ready has no dropout layer: the recipe's dropout of 0.3 has no place",
        "nets.py:ready keeps its own drop connect: only a Network's can be set by a recipe",
    )


def test_a_step_is_rehearsed_on_a_copy_and_finds_the_memory_layout(code):
    for name, taken in (("plain", True), ("ready", False)):
        model = made(code, name).model
        before = {key: value.clone() for key, value in model.state_dict().items()}
        state = torch.get_rng_state()
        rehearse(model)
        assert model.channels_last is taken
        assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
        assert torch.equal(state, torch.get_rng_state())


@pytest.mark.parametrize(
    ("module", "said"),
    [
        (
            nn.Conv2d(3, 4, 3),
            r"net: answers images of shape \(2, 3, 32, 32\) with shape \(2, 4, 30, 30\); expected logits",
        ),
        (nn.Flatten(), "net: has no parameters, so there is nothing to train"),
        (nn.Linear(7, 4), r"nets.py: nets.py:net raised RuntimeError: mat1 and mat2 shapes cannot be multiplied"),
        (nn.LSTM(32, 4), "net raised .*"),
        (nn.Sequential(nn.Unflatten(0, (2, 1)), nn.Flatten(), nn.Linear(3072, 2)), "net raised RuntimeError: .*"),
    ],
)
def test_what_does_not_answer_images_with_logits_is_refused(code, module, said):
    with pytest.raises(SpecError, match=said):
        build(_returning(load_factory(f"{code}:plain"), module), SIZE)


def test_an_error_of_ours_is_not_told_as_one_of_the_users(code, monkeypatch):
    monkeypatch.setattr("triscale.modules.plain._checked", lambda answer: answer)
    with pytest.raises(TypeError, match="takes 1 positional argument but 3 were given"):
        made(code, "plain")


def test_a_file_holds_the_users_own_names_and_no_code(written):
    model, path = written
    assert safetensors.torch.load_file(path).keys() == model.module.state_dict().keys()
    with safetensors.safe_open(path, framework="pt") as file:
        described = json.loads(file.metadata()["triscale"])
    assert described["module"]["factory"] == "nets.py:scalable"
    assert (described["module"]["depth"], described["module"]["width"]) == (2.0, 1.5)
    assert str(path.parent) not in json.dumps(described)


def test_the_code_makes_the_same_module_again(written, code):
    model, path = written
    factory = load_factory(f"{code}:scalable")
    by_factory, by_function = load(path, factory), ts.load(path, module=factory.call)
    by_module = ts.load(path, module=factory.make(2.0, 1.5, 3))
    for again in (by_factory, by_function, by_module):
        assert torch.equal(again(images()), model(images()))
        assert (again.origin, again.preprocessing, again.card) == (model.origin, model.preprocessing, model.card)
        assert not again.training


def test_without_its_code_a_file_says_how_and_runs_nothing(written):
    with pytest.raises(
        FileError, match=r"a module of your own \(nets.py:scalable\).*--module path/to/nets.py:scalable"
    ):
        ts.load(written[1])
    with pytest.raises(FileError, match="a module of your own"):
        ts.load_weights(ts.create_model(ts.network("efficientnet_lite0")), written[1])


def test_other_code_does_not_fit(written, code, tmp_path):
    with pytest.raises(WeightsError, match=r"stem.0.weight has shape \(12, 3, 3, 3\) instead of \(8, 3, 3, 3\) and .*"):
        ts.load(written[1], module=load_factory(f"{code}:plain").make())
    with pytest.raises(WeightsError, match=r"made for these weights \(nets.py:scalable, depth 2, width 1.5, 3 outputs"):
        ts.load(written[1], module=nn.Linear(2, 2))
    ts.save(ts.create_model(ts.scale(ts.network("efficientnet_lite0"), 0.1, 0.1)), tmp_path / "network.safetensors")
    with pytest.raises(FileError, match="holds a network, which needs no code; load it without a module"):
        ts.load(tmp_path / "network.safetensors", module=nn.Linear(2, 2))


def test_a_damaged_description_is_one_line(written, code, tmp_path):
    tensors = safetensors.torch.load_file(written[1])
    for module in ("x", {"factory": 3, "scaling": {}}, {"scaling": {"depth": -1}}, {"factor": "", "scaling": {}}):
        text = json.dumps({"version": 1, "module": module, "preprocessing": {}, "card": {}})
        safetensors.torch.save_file(tensors, tmp_path / "m.safetensors", {"triscale": text})
        with pytest.raises(FileError, match="description of the module is damaged"):
            ts.load(tmp_path / "m.safetensors", module=load_factory(f"{code}:scalable"))


def test_a_changed_source_is_named(written, tmp_path):
    other = write(tmp_path)
    assert changed_sources(load_factory(f"{other}:scalable"), written[0].origin) == []
    (tmp_path / "blocks.py").write_text((tmp_path / "blocks.py").read_text() + "# later\n")
    assert changed_sources(load_factory(f"{other}:scalable"), written[0].origin) == ["blocks.py"]


def test_tied_weights_are_written_and_read(code, tmp_path):
    model = made(code, "ready").model.eval()
    ts.save(model, tmp_path / "m.safetensors")
    again = ts.load(tmp_path / "m.safetensors", module=load_factory(f"{code}:ready"))
    assert again.module.first is again.module.again
    assert torch.equal(again(images()), model(images()))


def test_weights_of_other_classes_leave_the_last_layer(code):
    source, model = made(code, "plain", classes=10).model, made(code, "plain", classes=3).model
    left = put(model, source.tensors(), "here", new_classes=True)
    assert left == ("fc.weight", "fc.bias")
    assert torch.equal(model.module.stem[0].weight, source.module.stem[0].weight)
    with pytest.raises(WeightsError, match=r"fc\.weight has shape"):
        put(model, source.tensors(), "here")


def test_a_module_whose_state_is_no_tensor_is_refused():
    class Odd(nn.Linear):
        def get_extra_state(self):
            return {"a": 1}

        def set_extra_state(self, state):
            raise AssertionError

    with pytest.raises(SpecError, match="its state holds '_extra_state', which is no tensor"):
        PlainModel(Odd(2, 2), Preprocessing(), Origin())
