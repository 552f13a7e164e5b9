import os
import subprocess
import sys
import textwrap
from dataclasses import replace

import numpy as np
import onnx
import pytest
import torch

from tests.models.helpers import answer, photos, randomised, small_model, small_network
from triscale.deployment.engine import load_engine
from triscale.deployment.export import export, shipped_bytes
from triscale.deployment.verify import verify
from triscale.errors import MissingExtraError, SpecError
from triscale.models.create import create_model
from triscale.models.layers import Swish
from triscale.spec.block import Block
from triscale.spec.card import ModelCard
from triscale.spec.network import Stage, Stem, stage

ENGINES = {"onnx": "model.onnx", "openvino": "model.xml"}
each_engine = pytest.mark.parametrize("engine", ENGINES)


@pytest.fixture(scope="module", params=["efficientnet_lite0", "efficientnet_b0", "tf_efficientnet_b0"])
def model(request):
    """Lite0 with its ImageNet weights, B0 with random ones."""
    if request.param == "efficientnet_lite0":
        return create_model(request.param, weights="pretrained")
    torch.manual_seed(0)
    return randomised(create_model(request.param))


@each_engine
def test_what_is_exported_gives_the_same_answers_on_64_images(model, engine, tmp_path):
    path = tmp_path / ENGINES[engine]
    export(model, path, engine, size=64)
    found = verify(model, path, photos(64, 64, count=64)).require()
    assert found.images == 64
    assert found.top1_agreement == 1.0
    assert found.max_error < 1e-3


@each_engine
def test_an_export_says_what_was_written(engine, tmp_path):
    path = tmp_path / ENGINES[engine]
    made = export(small_model(), path, size=(48, 32))  # the engine is told by the suffix
    assert (made.path, made.engine, made.precision, made.input_size) == (path, engine, "fp32", (48, 32))
    assert made.size_bytes == shipped_bytes(path) == sum(each.stat().st_size for each in tmp_path.iterdir())
    assert made.size_bytes > 4 * sum(each.numel() for each in small_model().parameters())
    assert made.seconds > 0


@each_engine
def test_the_file_alone_is_enough_to_use_it(engine, tmp_path):
    model = small_model()
    model.card = ModelCard(classes=("kočka", '<pes> & "co"', "鱼", "d", "e"), origin="here", licence="CC0-1.0")
    model.preprocessing = replace(model.preprocessing, mean=(0.1, 0.2, 0.3), crop=0.9, size=(40, 32), fit="squash")
    export(model, tmp_path / ENGINES[engine])
    loaded = load_engine(tmp_path / ENGINES[engine])
    assert loaded.classes == model.card.classes
    assert loaded.preprocessing == model.preprocessing
    assert loaded.input_shape == (3, 40, 32)
    assert (loaded.metadata.origin, loaded.metadata.licence) == ("here", "CC0-1.0")


@each_engine
def test_a_size_given_at_export_is_the_size_of_the_preprocessing_in_the_file(engine, tmp_path):
    model = small_model()
    export(model, tmp_path / ENGINES[engine], size=64)
    assert load_engine(tmp_path / ENGINES[engine]).preprocessing == replace(model.preprocessing, size=(64, 64))


@each_engine
def test_a_trained_swish_survives_export(engine, tmp_path):
    blocks = [replace(each, activation="swish") for each in small_network().stages[1].blocks]
    model = small_model(stages=(Stage(tuple(blocks)),))
    for number, module in enumerate(each for each in model.modules() if isinstance(each, Swish)):
        module.beta.data.fill_((0.0, 0.5, 1.0, 3.0)[number % 4])
    export(model, tmp_path / ENGINES[engine])
    verify(model, tmp_path / ENGINES[engine], photos(32, 32, count=4), tolerance=1e-5).require()


@each_engine
@pytest.mark.parametrize("kind", ["separable", "fused", "basic", "bottleneck", "shuffle", "xception"])
def test_every_kind_of_block_and_activation_is_exported(engine, kind, tmp_path):
    block = Block(kind, 16, 3, 2, 2.0, relative_to="output")
    activations = ("relu", "relu6", "hardswish", "sigmoid", "hardsigmoid", "identity")
    stages = [stage(replace(block, activation=each, stride=2 if each == "relu" else 1)) for each in activations]
    model = small_model(stages=tuple(stages), stem=Stem(8, pool=True))
    export(model, tmp_path / ENGINES[engine], size=(45, 30))
    verify(model, tmp_path / ENGINES[engine], photos(45, 30, count=3), tolerance=1e-4).require()


def test_an_onnx_file_is_plain_and_passes_its_own_checker(tmp_path):
    export(small_model(), tmp_path / "model.onnx")
    graph = onnx.load(tmp_path / "model.onnx")
    onnx.checker.check_model(graph, full_check=True)
    assert {each.domain for each in graph.opset_import} == {""}
    assert not {each.op_type for each in graph.graph.node} & {"Pad", "BatchNormalization", "Shape", "If"}
    assert graph.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@each_engine
def test_batches_of_any_number_give_the_same_rows(engine, tmp_path):
    model = small_model()
    export(model, tmp_path / ENGINES[engine])
    loaded, images = load_engine(tmp_path / ENGINES[engine]), photos(32, 32, count=5)
    expected = answer(model, images).numpy()
    for rows in (slice(0, 5), slice(0, 1), slice(1, 4)):
        np.testing.assert_allclose(loaded.run(images[rows].numpy()), expected[rows], atol=1e-5)


@each_engine
def test_exporting_prints_nothing(engine, tmp_path, capfd):
    export(small_model(), tmp_path / ENGINES[engine])
    load_engine(tmp_path / ENGINES[engine])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "engine", "message"),
    [
        ("model.pte", None, r"cannot tell the engine from 'model\.pte'; end it in one of \.onnx \(onnx\), \.xml"),
        ("model.onnx", "openvino", r"a file for openvino ends in \.xml, got 'model\.onnx'"),
        ("model.onnx", "tensorrt", "there is no engine 'tensorrt'; choose one of onnx, openvino"),
    ],
)
def test_an_engine_that_cannot_be_meant_is_refused(name, engine, message, tmp_path):
    with pytest.raises(SpecError, match=message):
        export(small_model(), tmp_path / name, engine)


def test_a_network_without_a_classifier_is_refused(tmp_path):
    with pytest.raises(SpecError, match="small has no classifier"):
        export(small_model(head=None), tmp_path / "model.onnx")


@pytest.mark.parametrize(
    ("engine", "library", "extra"), [("onnx", "onnx", "deploy"), ("openvino", "openvino", "openvino")]
)
def test_a_missing_library_is_named_with_its_extra(engine, library, extra, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"needs {library}.*pip install 'triscale\[{extra}\]'"):
        export(small_model(), tmp_path / ENGINES[engine], engine)


def run_limited(program, size):
    """What a program says when no file of its process may grow beyond `size` bytes."""
    program = (
        f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({size}, {size}))\n{textwrap.dedent(program)}"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment)
    return done.stderr.strip()


@each_engine
def test_a_full_disk_leaves_the_old_export_whole(engine, tmp_path):
    path = tmp_path / ENGINES[engine]
    export(small_model(), path, size=32)
    before = {each: each.read_bytes() for each in tmp_path.iterdir()}
    said = run_limited(
        f"""
        from tests.models.helpers import small_model
        from triscale.deployment.export import export
        from triscale.errors import FileError
        try:
            export(small_model(seed=1), {str(path)!r})
        except FileError as error:
            import sys; print(error, file=sys.stderr)
        """,
        size=2_000,
    )
    assert said.startswith(f"{path}: cannot be written")
    assert len(said.splitlines()) == 1
    assert {each: each.read_bytes() for each in tmp_path.iterdir()} == before
