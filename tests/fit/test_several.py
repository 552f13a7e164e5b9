"""A whole fit on images with several labels."""

import json

import pytest

from tests.fitted import triscale
from tests.several import make_several

pytestmark = pytest.mark.slow  # it times networks and exports twice: half a minute


def test_a_fit_on_several_labels_ships_files_that_answer_with_them(tmp_path):
    table = make_several(tmp_path / "set", 3, {"train": 64, "val": 32})
    run = tmp_path / "run"
    done = triscale("fit", table, "--budget", "macs<=30M, params<=2M", "--epochs", "1", "--out", run)
    assert done.code == 0, done
    assert " on 32 validation images" in next(line for line in done.out.splitlines() if line.startswith("accuracy"))
    metrics = json.loads((run / "metrics.json").read_text())
    assert {"map", "f1_micro", "f1_macro", "val_map"} <= set(metrics)
    assert "top1" not in metrics
    report = (run / "report.html").read_text()
    assert "Mean average precision" in report
    assert "sigmoid()" in report
    found = json.loads(triscale("eval", run, table, "--json").out)
    assert found["map"] == pytest.approx(metrics["map"], abs=1e-3)
    for name in ("exports/model.onnx", "exports/model.xml", "model.safetensors"):
        answers = json.loads(
            triscale("predict", run / name, tmp_path / "set/val007.png", "--threshold", "0", "--json").out
        )
        assert len(answers[0]["labels"]) == 3
        assert sum(each["score"] for each in answers[0]["labels"]) != pytest.approx(1, abs=1e-3)
