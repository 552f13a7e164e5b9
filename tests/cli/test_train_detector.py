"""`train` with boxes: a detector, resumed, done, overfitted; and one line where name and data do not go together."""

import json
import sys

import pytest

import triscale as ts
from tests.fitted import refusal, triscale
from tests.training.detection.tiny import CLASSES, tiny_detector, tiny_set
from tests.training.tiny import tiny_network
from triscale.detection.detector import DetectorNet
from triscale.spec.files import read_network, write_network
from triscale.training.config import read_config
from triscale.training.run import read_run


def write_coco(folder, **splits):
    """The set of `tiny_set` as COCO JSON, images beside it."""
    dataset = tiny_set(folder / "images", **splits)
    for split in ("train", "val"):
        samples = getattr(dataset, split)
        boxes = [(number, box) for number, each in enumerate(samples) for box in each.boxes]
        document = {
            "images": [
                {"id": number, "file_name": each.path.name, "height": each.size[0], "width": each.size[1]}
                for number, each in enumerate(samples)
            ],
            "categories": [{"id": number, "name": name} for number, name in enumerate(CLASSES)],
            "annotations": [
                {"id": key, "image_id": number, "category_id": box.label, "iscrowd": 0,
                 "bbox": [box.x1, box.y1, box.x2 - box.x1, box.y2 - box.y1]}
                for key, (number, box) in enumerate(boxes)
            ],
        }  # fmt: skip
        place = folder / "annotations" / f"instances_{split}.json"
        place.parent.mkdir(exist_ok=True)
        place.write_text(json.dumps(document))
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory):
    return write_coco(tmp_path_factory.mktemp("boxes"), train=12, val=6)


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    path = tmp_path_factory.mktemp("net") / "tiny.json"
    write_network(tiny_detector(classes=90), path)
    return path


def test_a_detector_is_trained_and_then_done(net, boxes, tmp_path):
    run = tmp_path / "run"
    words = [
        "train",
        net,
        boxes,
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--out",
        run,
        "--size",
        "48",
        "64",
        "--no-mirror",
    ]
    done = triscale(*words)
    assert done.code == 0, done.err
    assert done.out.startswith("mAP ") and done.out.endswith(f"validation images; {run / 'model.safetensors'}\n")
    model = ts.load(run / "model.safetensors")
    assert isinstance(model, DetectorNet) and model.card.classes == CLASSES
    assert model.detector.resolution == model.preprocessing.size == (48, 64)
    assert read_network(run / "network.json") == model.detector
    recipe = read_config(run / "config.toml")["recipe"]
    assert recipe["detection"]["augmentation"]["flip"] == 0.0 and recipe["detection"]["loss"]["gamma"] == 1.5
    again = triscale(*words, "--json")
    assert (again.code, again.err) == (0, f"{run}: is done already\n")
    assert {"split", "map", "map50", "per_class", "seconds", "params", "macs"} <= set(json.loads(again.out))
    assert read_run(run).state == "done"


def test_name_and_data_that_do_not_go_together_are_one_line(net, boxes, images, tmp_path):
    write_network(tiny_network(), tmp_path / "net.json")
    said = refusal("train", net, boxes.with_name("nothing"), "--out", tmp_path / "run")
    assert f"{boxes.with_name('nothing')}: does not exist; nearby in {boxes.parent}: " in said
    assert "tiny is a detector, and" in refusal("train", net, images, "--out", tmp_path / "run")
    said = refusal("train", tmp_path / "net.json", boxes, "--out", tmp_path / "run")
    assert (
        f"{boxes} has boxes, and tiny is no detector: name one (`triscale list`), or make one of a network with" in said
    )
    assert "--overfit is for detectors" in refusal("train", tmp_path / "net.json", images, "--overfit", "8")
    assert "--overfit takes how many images are learnt, 1 to 64, such as 8; got 65" in refusal(
        "train", net, boxes, "--overfit", 65
    )
    assert "no pyramid is called 'bipfn'; choose one of" in refusal("train", net, boxes, "--pyramid", "bipfn")
    assert "--backbone is for detectors; tiny is a network" in refusal(
        "train", tmp_path / "net.json", boxes, "--backbone", "resnet18"
    )
    said = refusal("train", net, boxes, "--set", "detection.augmentation.flp=0", "--out", tmp_path / "run")
    assert "unknown key 'flp'; did you mean 'flip'?" in said
    assert not (tmp_path / "run").exists()


def test_without_the_extra_nothing_is_read(net, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "faster_coco_eval", None)
    (tmp_path / "instances.json").write_text("{}")
    said = refusal("train", net, tmp_path / "instances.json", "--out", tmp_path / "run")
    assert "needs faster-coco-eval, which is not installed; run: pip install" in said


def test_another_pyramid_trains_too(net, boxes, tmp_path):
    run = tmp_path / "run"
    done = triscale("train", net, boxes, "--pyramid", "fpn", "--epochs", "1", "--batch-size", "4", "--out", run)
    assert done.code == 0, done.err
    assert read_network(run / "network.json").pyramid.kind == "fpn"


def test_overfitting_says_what_it_thinks_and_leaves_no_run(net, boxes, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("triscale.training.detection.overfit.STEPS", 2)
    done = triscale("train", net, boxes, "--overfit", "4")
    assert done.code == 1
    assert (
        "on the 4 images it was trained on: look at the data. Likeliest: boxes lie where their objects are not"
        in done.out
    )
    assert done.out.endswith("s; no run was written\n")
    told = triscale("train", net, boxes, "--overfit", "4", "--json")
    assert told.code == 1 and {"map50", "seen", "unseen", "images", "findings", "verdict"} <= set(json.loads(told.out))
    assert list(tmp_path.iterdir()) == []
