"""The section on how good a network is, with one label an image and with several, and its page."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.report.sample import sample
from tests.report.test_page import Page, text_of
from triscale.report.accuracy import corruption_bars, reliability_diagram
from triscale.report.evaluated import evaluation_summary
from triscale.report.evaluation_page import write_evaluation
from triscale.report.model import ClassCount, CorruptionSummary
from triscale.training.calibration import UNKNOWN, calibrate, calibration_at
from triscale.training.corruption import CORRUPTIONS
from triscale.training.evaluate import score

CLASSES = ("ant", "bee", "cat", "<b>dog</b>")


@pytest.fixture(scope="module")
def found():
    """40 answers to images of four classes, some of them wrong."""
    dice = np.random.default_rng(0)
    labels = dice.integers(0, 4, 40)
    logits = dice.normal(0, 1, (40, 4)) + 1.2 * np.eye(4)[labels]
    return score(torch.from_numpy(logits).float(), torch.from_numpy(labels), np.arange(40), CLASSES)


@pytest.fixture(scope="module")
def several():
    dice = np.random.default_rng(0)
    labels = (dice.random((40, 4)) < 0.4).astype(np.float32)
    logits = (dice.normal(0, 1, (40, 4)) + 3 * labels - 1.5).astype(np.float32)
    return score(torch.from_numpy(logits), torch.from_numpy(labels), np.arange(40), CLASSES)


CORRUPTED = CorruptionSummary(40, 0.75, tuple((kind, s, 0.7 - 0.1 * s) for kind in CORRUPTIONS for s in (1, 3)))


def page_of(summary, path):
    write_evaluation(summary, CLASSES, "a model & <x>", "runs/a", "photos", path)
    return Page(path.read_text())


def test_the_page_says_all_and_loads_nothing(found, tmp_path):
    calibration = calibrate(found.logits, found.labels)
    summary = evaluation_summary(CLASSES, found, "val", calibration, CORRUPTED)
    seen = page_of(summary, tmp_path / "page.html")
    said = " ".join(" ".join(seen.words).split())
    assert f"{100 * found.top1:.1f} % top-1" in said
    assert f"A temperature of {calibration.temperature:.3g} makes it" in said
    assert "each half of the validation images was scaled by the other half's" in said
    assert "75.0 % as they are, 50.0 % corrupted, on average" in said
    assert "not with published figures on ImageNet-C" in said
    assert "<b>dog</b>" in said
    assert "b" not in {tag for tag, _ in seen.elements}
    assert not {tag for tag, _ in seen.elements} & {"script", "link", "iframe"}
    assert sum(tag == "svg" for tag, _ in seen.elements) == 3


def test_every_class_has_precision_recall_and_f1(found, tmp_path):
    words = page_of(evaluation_summary(CLASSES, found, "test", None), tmp_path / "page.html").words
    weakest = min(found.classes, key=lambda each: each.recall)
    at = words.index(weakest.name, words.index("Class by class, the weakest first"))
    cells = [each.strip() for each in words[at : at + 8] if each.strip()]
    rates = [f"{100 * each:.1f} %" for each in (weakest.recall, weakest.precision, weakest.f1)]
    assert [each.replace("\u00a0", " ") for each in cells[:5]] == [weakest.name, *rates, str(weakest.images)]


def test_several_labels_have_no_top1_and_no_confusion(several, tmp_path):
    summary = evaluation_summary(CLASSES, several, "test", calibrate(several.logits, several.labels), CORRUPTED)
    said = " ".join(" ".join(page_of(summary, tmp_path / "page.html").words).split())
    assert f"{100 * several.map:.1f} % mAP" in said
    assert "which may have several labels each" in said
    assert "top-1" not in said
    assert "Confusion" not in said
    assert "mAP on 40 images" in said


def test_the_report_of_a_fit_shows_them_too(several, tmp_path):
    counts = tuple(ClassCount(name, 30, 5, 5) for name in CLASSES)
    report = sample(tmp_path)
    report = replace(
        report,
        curve=(),
        candidates=report.candidates[:1],
        data=replace(report.data, classes=counts),
        evaluation=evaluation_summary(CLASSES, several, "test", calibrate(several.logits, several.labels)),
    )
    said = text_of(report)
    assert f"Mean average precision {100 * several.map:.1f} % on 40 test images." in said
    assert "sigmoid()" in said
    assert "softmax" not in said


def test_without_a_temperature_only_the_answers_are_drawn(found, tmp_path):
    alone = calibration_at(found.logits, found.labels, 1.0, UNKNOWN)
    assert reliability_diagram(alone).count("confidence</text>") < reliability_diagram(
        calibrate(found.logits, found.labels)
    ).count("confidence</text>")
    summary = evaluation_summary(CLASSES, found, "test", alone)
    said = " ".join(" ".join(page_of(summary, tmp_path / "page.html").words).split())
    assert "carries no temperature" in said
    assert "logits divided by" not in said


def test_where_every_answer_is_right_no_temperature_is_offered(tmp_path):
    right = score(torch.eye(4) * 3, torch.arange(4), np.arange(4), CLASSES)
    summary = evaluation_summary(CLASSES, right, "val", calibrate(right.logits, right.labels))
    said = " ".join(page_of(summary, tmp_path / "page.html").words)
    assert "The validation images do not tell a temperature" in said
    assert "--calibrated" not in said


def test_corruptions_are_bars_by_kind_and_severity():
    drawn = corruption_bars(CORRUPTED, "top-1")
    for kind in CORRUPTIONS:
        assert f">{kind.replace('_', ' ')}</text>" in drawn
    assert ">severity 1</text>" in drawn
    assert ">severity 3</text>" in drawn
    assert drawn == corruption_bars(CORRUPTED, "top-1")


def test_only_classes_that_occur_are_shown_of_a_network_that_knows_more(tmp_path):
    logits = torch.tensor([[0.0, 4, 0, 0], [0, 0, 0, 4]])
    few = score(logits, torch.tensor([1, 1]), np.arange(2), CLASSES)
    summary = evaluation_summary(CLASSES, few, "all", None, only=few.occurring())
    assert summary.confusion == ((1, 1), (0, 0))
    assert summary.per_class == (0.5, None)
