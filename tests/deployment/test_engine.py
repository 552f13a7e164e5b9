import numpy as np
import onnx
import pytest
import torch

from tests.models.helpers import answer, photos, small_model
from triscale.deployment import metadata
from triscale.deployment.engine import available_cores, load_engine
from triscale.deployment.export import export
from triscale.errors import FileError, MissingExtraError, SpecError
from triscale.models.files import save

FILES = ("model.onnx", "model.xml", "model.safetensors")
each_file = pytest.mark.parametrize("name", FILES)


@pytest.fixture
def model():
    return small_model()


@pytest.fixture
def shipped(model, tmp_path):
    """A folder with the same model for every engine."""
    for name in FILES[:2]:
        export(model, tmp_path / name)
    save(model, tmp_path / FILES[2])
    return tmp_path


@each_file
def test_every_engine_gives_the_answers_of_the_model(model, shipped, name):
    images = photos(32, 32, count=3)
    engine = load_engine(shipped / name)
    np.testing.assert_allclose(engine.run(images.numpy()), answer(model, images).numpy(), atol=1e-5)
    assert engine.preprocessing == model.preprocessing
    assert engine.precision == "fp32"
    assert engine.threads == available_cores()


@each_file
def test_an_answer_stays_what_it_was_when_the_next_one_is_made(shipped, name):
    engine = load_engine(shipped / name)
    first = engine.run(photos(32, 32, seed=1).numpy())
    kept = first.copy()
    engine.run(photos(32, 32, seed=2).numpy())
    np.testing.assert_array_equal(first, kept)


@each_file
@pytest.mark.parametrize("shape", [(1, 3, 33, 32), (1, 1, 32, 32), (3, 32, 32), (0, 3, 32, 32)])
def test_images_of_another_shape_are_refused(shipped, name, shape):
    with pytest.raises(SpecError, match=r"reads images of shape \(N, 3, 32, 32\), got"):
        load_engine(shipped / name).run(np.zeros(shape, np.float32))


@each_file
def test_the_threads_of_this_process_are_left_as_they_are(shipped, name):
    """They decide the last bits of a training that comes after."""
    before = torch.get_num_threads()
    load_engine(shipped / name, threads=before + 1).run(photos(32, 32).numpy())
    assert torch.get_num_threads() == before


@each_file
def test_a_number_of_threads_is_used(shipped, name):
    assert load_engine(shipped / name, threads=1).threads == 1


def test_what_openvino_takes_by_itself_is_named(shipped):
    assert load_engine(shipped / "model.xml", precision="default").precision in ("fp32", "bf16", "fp16")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"precision": "int4"}, 'precision must be "fp32" or "default", got \'int4\''),
        ({"threads": 0}, "at least 1, got 0"),
    ],
)
def test_settings_that_cannot_be_are_refused(shipped, arguments, message):
    with pytest.raises(SpecError, match=message):
        load_engine(shipped / "model.onnx", **arguments)


@each_file
def test_a_truncated_file_is_one_line(shipped, name, capfd):
    path = shipped / name
    for share in (0.0, 0.5, 0.95):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        refused(path)
        path.write_bytes(whole)
    assert capfd.readouterr() == ("", "")


@each_file
def test_a_file_of_another_kind_is_one_line(shipped, name, capfd):
    for content in (b"", b"garbage" * 100, b"\x80\x04}q.", b"<html>" + b"x" * 500 + b"</html>"):
        (shipped / name).write_bytes(content)
        refused(shipped / name)
    assert capfd.readouterr() == ("", "")


def refused(path):
    """Loading `path` ends in one line that names it."""
    with pytest.raises(FileError) as caught:
        load_engine(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("none.onnx", "there is no such file"),
        ("model.pt", r"no engine runs a \.pt file; give one of \.onnx, \.xml, \.safetensors"),
        ("model", "no engine runs a nameless file"),
    ],
)
def test_what_cannot_be_loaded_is_said(tmp_path, name, message):
    with pytest.raises(FileError, match=message):
        load_engine(tmp_path / name)


def test_an_onnx_file_of_somebody_else_is_refused(shipped):
    path = shipped / "model.onnx"
    graph = onnx.load(path)
    del graph.metadata_props[:]
    onnx.save(graph, path)
    with pytest.raises(FileError, match="was not exported by triscale"):
        load_engine(path)


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ('{"format": 99}', "was written by a newer triscale"),
        ('{"format": 1}', "its description cannot be read"),
        ("[]", "its description cannot be read"),
        ("{", "its description cannot be read"),
    ],
)
def test_a_description_that_cannot_be_read_is_refused(shipped, written, message):
    path = shipped / "model.onnx"
    graph = onnx.load(path)
    graph.metadata_props[0].value = written
    onnx.save(graph, path)
    with pytest.raises(FileError, match=message):
        load_engine(path)


def test_a_description_survives_the_round_trip(model):
    described = metadata.describe(model, (20, 30))
    assert metadata.decode(metadata.encode(described), "here") == described
    assert metadata.encode(described).isascii()


def test_openvino_weights_that_are_missing_or_of_another_export_are_refused(model, shipped):
    weights = shipped / "model.bin"
    other = bytearray(weights.read_bytes())
    other[100] ^= 1
    weights.write_bytes(other)
    with pytest.raises(FileError, match=r"model\.bin: does not belong to model\.xml"):
        load_engine(shipped / "model.xml")
    weights.unlink()
    with pytest.raises(FileError, match=r"model\.bin: is missing"):
        load_engine(shipped / "model.xml")


@pytest.mark.parametrize(
    ("name", "library", "extra"), [(FILES[0], "onnxruntime", "deploy"), (FILES[1], "openvino", "openvino")]
)
def test_a_missing_library_is_named_with_its_extra(shipped, name, library, extra, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtraError, match=rf"needs {library}.*triscale\[{extra}\]"):
        load_engine(shipped / name)
