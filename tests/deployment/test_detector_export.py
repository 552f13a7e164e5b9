import re
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from tests.detection.helpers import small_model
from tests.models.helpers import photos, relative_error
from tests.models.helpers import small_model as small_classifier
from triscale.deployment.detector_graph import answers_graph
from triscale.deployment.engine import load_engine
from triscale.deployment.export import export
from triscale.deployment.fuse import fuse_features
from triscale.deployment.verify_detector import verify_detector
from triscale.detection.create import create_detector
from triscale.detection.detect import detect
from triscale.errors import SpecError, VerificationError
from triscale.spec.card import ModelCard
from triscale.spec.detector import Heads
from triscale.spec.network import Numerics
from triscale.spec.pyramids import bifpn, fpn, fully_connected, nas_fpn, one_map, panet, ssd
from triscale.spec.suppression import Suppression

ENGINES = {"onnx": "model.onnx", "openvino": "model.xml"}
each_engine = pytest.mark.parametrize("engine", ENGINES)
FORMS = {"out": ("out", None), "in": ("in", None), "in, together": ("in", Suppression(per_class=False, score=0.02))}


def telling(seed=0, **changes):
    """A small detector whose answers lie far apart, as a trained one's do."""
    model = small_model(seed, **changes)
    with torch.no_grad():
        model.class_head.final.weight.mul_(8)
        model.box_head.final.weight.mul_(2)
    return model


@pytest.fixture(scope="module")
def model():
    return telling()


CASES = [
    ("onnx", "in", (224, 352)),
    ("onnx", "out", (300, 500)),
    ("onnx", "in, together", (300, 500)),
    ("openvino", "in", (300, 500)),
    ("openvino", "out", (224, 352)),
]


@pytest.mark.parametrize(("engine", "form", "size"), CASES)
def test_an_export_tells_the_same_detections_on_32_images(model, engine, form, size, tmp_path):
    suppression, rule = FORMS[form]
    export(model, tmp_path / ENGINES[engine], size=size, suppression=suppression, rule=rule)
    found = verify_detector(model, tmp_path / ENGINES[engine], photos(*size, count=32))
    assert found.require() is found
    assert (found.images, found.wrong, found.same) == (32, 0, 1.0)
    assert found.detections > 1000
    assert found.max_score_error < 1e-5
    assert found.max_box_error < 1e-2


def raw_answers(model, size):
    """(ONNX Runtime's, eager) raw answers for two images."""
    graph = answers_graph(model, size)
    onnx.checker.check_model(graph, full_check=True)
    images = photos(*size, count=2)
    session = onnxruntime.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"])
    with torch.inference_mode():
        eager = model(images)
    return [torch.from_numpy(each) for each in session.run(["logits", "offsets"], {"images": images.numpy()})], eager


PYRAMIDS = {
    "one map": one_map(16),
    "ssd": ssd(16),
    "fpn": fpn(16, 1),
    "panet": panet(16, 2),
    "nas-fpn": nas_fpn(16, 1),
    "fully connected": fully_connected(16, 1),
    "softmax": bifpn(16, 1, fusion="softmax"),
    "sum": bifpn(16, 1, fusion="sum"),
    "P3 to P8": bifpn(16, 1, (3, 8), activation="swish"),
    "full convolutions": replace(bifpn(16, 1), separable=False),
}


@pytest.mark.parametrize("name", PYRAMIDS)
@pytest.mark.parametrize("numerics", [None, Numerics("symmetric", 1e-5, 0.1)], ids=["same", "symmetric"])
def test_every_pyramid_is_written_operation_by_operation(name, numerics):
    changes = {} if numerics is None else {"numerics": numerics}
    heads = Heads(1, separable=name != "full convolutions")
    made = small_model(pyramid=PYRAMIDS[name], heads=heads, **changes)
    for size in [(96, 96), (129, 75)]:
        found, eager = raw_answers(made, size)
        for mine, theirs in zip(found, eager, strict=True):
            assert mine.shape == theirs.shape
            assert relative_error(mine, theirs) < 1e-5


def test_the_graph_has_no_batchnorm_and_takes_any_batch(model, tmp_path):
    path = export(model, tmp_path / "model.onnx", suppression="in").path
    graph = onnx.load(path)
    onnx.checker.check_model(graph, full_check=True)
    assert {each.domain for each in graph.opset_import} == {""}
    assert not {each.op_type for each in graph.graph.node} & {"Pad", "BatchNormalization", "If", "Loop"}
    shapes = {
        each.name: [part.dim_param or part.dim_value for part in each.type.tensor_type.shape.dim]
        for each in graph.graph.output
    }
    expected = {"boxes": ["batch", 100, 4], "scores": ["batch", 100], "labels": ["batch", 100], "count": ["batch"]}
    assert shapes == expected
    loaded, images = load_engine(path), photos(96, 96, count=3).numpy()
    together, alone = loaded.detect(images), [loaded.detect(each[None])[0] for each in images]
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-3)
        assert one.labels.tolist() == other.labels.tolist()


@each_engine
@pytest.mark.parametrize("suppression", ["in", "out"])
def test_the_file_alone_is_enough_to_use_it(engine, suppression, tmp_path):
    model = telling()
    model.card = ModelCard(classes=("kočka", "<pes>", "鱼", "d", "e"), origin="here", licence="CC0-1.0")
    rule = Suppression(iou=0.4, score=0.02, detections=7, per_class=False)
    export(model, tmp_path / ENGINES[engine], size=(64, 96), suppression=suppression, rule=rule)
    loaded = load_engine(tmp_path / ENGINES[engine])
    told = loaded.metadata.detector
    assert (told.suppression, told.inside) == (rule, suppression == "in")
    assert loaded.classes == model.card.classes
    assert loaded.preprocessing == replace(model.preprocessing, size=(64, 96))
    assert loaded.metadata.network == "small"
    images = photos(64, 96, count=1)
    (found,), (expected,) = loaded.detect(images.numpy()), detect(model, images, rule)
    assert len(found) == len(expected) == 7
    np.testing.assert_allclose(found.boxes, expected.boxes, atol=1e-2)


def test_an_answer_can_be_made_stricter_but_no_looser_behind_a_file_with_suppression(model, tmp_path):
    images = photos(96, 96).numpy()
    export(model, tmp_path / "in.onnx", suppression="in", rule=Suppression(score=0.02))
    export(model, tmp_path / "out.onnx", rule=Suppression(score=0.02))
    inside, outside = (load_engine(tmp_path / name) for name in ("in.onnx", "out.onnx"))
    strict = Suppression(score=float(np.median(inside.detect(images)[0].scores)), detections=5)
    for engine in (inside, outside):
        (found,) = engine.detect(images, strict)
        assert 0 < len(found) <= 5
        assert found.scores.min() >= strict.score
    assert len(outside.detect(images, Suppression(score=0, iou=1))[0]) == 100
    assert len(inside.detect(images, Suppression(score=0, iou=1))[0]) == len(inside.detect(images)[0])


def test_soft_suppression_is_refused_in_a_file_and_applied_outside_of_it(tmp_path):
    model = telling(suppression=Suppression(method="soft"))
    with pytest.raises(
        SpecError, match=r"soft suppression cannot be part of a graph; leave it out .*--suppression out"
    ):
        export(model, tmp_path / "model.onnx", suppression="in")
    assert not (tmp_path / "model.onnx").exists()
    path = export(model, tmp_path / "model.onnx").path
    images = photos(96, 96, count=2)
    for found, expected in zip(load_engine(path).detect(images.numpy()), detect(model, images), strict=True):
        np.testing.assert_allclose(found.scores, expected.scores, atol=1e-5)
    assert verify_detector(model, path, images).ok


def test_what_finds_no_boxes_has_no_suppression(tmp_path):
    with pytest.raises(SpecError, match="small finds no boxes, so it has no suppression"):
        export(small_classifier(), tmp_path / "model.onnx", suppression="in")
    export(small_classifier(), tmp_path / "model.onnx")
    with pytest.raises(SpecError, match="is a classifier, which finds no boxes"):
        load_engine(tmp_path / "model.onnx").detect(photos(32, 32).numpy())


@pytest.mark.parametrize("suppression", ["in", "out"])
def test_a_file_of_other_weights_is_refused_with_exit_code_1(model, suppression, tmp_path):
    export(telling(seed=1), tmp_path / "model.onnx", suppression=suppression)
    found = verify_detector(model, tmp_path / "model.onnx", photos(96, 96, count=2))
    assert found.wrong > 0
    assert found.same == 0
    with pytest.raises(VerificationError, match=r"differs from the detector .* 100\.0% of the images") as caught:
        found.require()
    assert caught.value.exit_code == 1


def test_answers_that_are_no_numbers_are_refused(model, tmp_path):
    path = export(model, tmp_path / "model.onnx").path
    graph = onnx.load(path)
    bias = next(each for each in graph.graph.initializer if each.name == "logits.final.bias")
    bias.raw_data = np.full(bias.dims[0], np.nan, np.float32).tobytes()
    onnx.save(graph, path)
    found = verify_detector(model, path, photos(96, 96))
    assert not found.ok
    assert found.figures()["max_score_error"] is None


def test_nothing_found_is_nothing_verified(tmp_path):
    model = telling(suppression=Suppression(score=0.999))
    path = export(model, tmp_path / "model.onnx", suppression="in").path
    with pytest.raises(VerificationError, match="finds nothing on these 2 images; give images with objects"):
        verify_detector(model, path, photos(96, 96, count=2)).require()


def test_a_file_of_a_newer_format_says_so(model, tmp_path):
    path = export(model, tmp_path / "model.onnx").path
    graph = onnx.load(path)
    (written,) = (each for each in graph.metadata_props if each.key == "triscale")
    assert '"format":2' in written.value
    written.value = re.sub('"format":2', '"format":3', written.value)
    onnx.save(graph, path)
    with pytest.raises(Exception, match="written by a newer triscale"):
        load_engine(path)


def test_maps_that_feed_nothing_are_not_computed():
    model, images = small_model(), photos(96, 96)
    fused = fuse_features(model.backbone, [8, 16], (96, 96))
    whole = fuse_features(model.backbone, [8, 16, 32], (96, 96))
    with torch.inference_mode():
        maps = model.backbone.features(images)
        found = fused(images)
    for mine, stride in zip(found, (8, 16), strict=True):
        assert relative_error(mine, maps[stride]) < 1e-5
    assert len(fused.body.graph.nodes) < len(whole.body.graph.nodes)


@pytest.mark.slow
@each_engine
@pytest.mark.parametrize("form", ["in", "out"])
@pytest.mark.parametrize("size", [(512, 512), (224, 352), (300, 500)])
def test_d0_tells_the_same_on_32_images(engine, form, size, tmp_path):
    torch.manual_seed(0)
    model = create_detector("efficientdet_d0")
    with torch.no_grad():
        for each in (model.class_head.final, model.box_head.final):
            each.weight.mul_(30)  # answers as far apart as trained ones
    export(model, tmp_path / ENGINES[engine], size=size, suppression=form)
    found = verify_detector(model, tmp_path / ENGINES[engine], photos(*size, count=32)).require()
    assert (found.images, found.wrong) == (32, 0)
    assert found.detections > 1000
