"""`predict`: files, folders and globs in; named answers out; one broken file stops nobody else."""

import json
import shutil

import numpy as np
import pytest

from tests.fitted import refusal, triscale
from triscale.data.transforms import load as load_image
from triscale.models.files import load

ANSWERS = ("apple", "bridge", "cloud")


@pytest.fixture(params=["", "model.safetensors", "exports/model.onnx", "exports/model.xml"])
def model(request, run):
    """Everything that a run can be predicted with: itself, and each of its files."""
    return run / request.param


def answers(*arguments):
    done = triscale("predict", *arguments, "--json")
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def test_json_is_a_list_of_files_with_labels_best_first(model, images):
    file = str(images / "apple" / "000.png")
    (found,) = answers(model, file)
    assert list(found) == ["file", "labels"]
    assert found["file"] == file
    assert [list(label) for label in found["labels"]] == [["name", "score"]] * 3
    assert sorted(label["name"] for label in found["labels"]) == list(ANSWERS)
    scores = [label["score"] for label in found["labels"]]
    assert scores == sorted(scores, reverse=True)
    assert sum(scores) == pytest.approx(1, abs=1e-5)


def test_the_scores_are_those_of_the_trained_model(model, run, images):
    trained = load(run / "model.safetensors")
    file = images / "cloud" / "003.png"
    expected = trained(load_image(file, trained.preprocessing)[None]).softmax(1)[0]
    (found,) = answers(model, file)
    scores = {label["name"]: label["score"] for label in found["labels"]}
    assert np.allclose([scores[name] for name in ANSWERS], expected.detach().numpy(), atol=1e-5)


@pytest.mark.parametrize(("top", "shown"), [((), 3), (("--top", "1"), 1), (("--top", "99"), 3)])
def test_top_is_five_and_never_more_than_the_classes(run, images, top, shown):
    (found,) = answers(run, images / "apple" / "000.png", *top)
    assert len(found["labels"]) == shown


def test_a_thousand_classes_give_five_answers(images):
    (found,) = answers("efficientnet_lite0", images / "apple" / "000.png")
    assert len(found["labels"]) == 5


def test_files_folders_and_globs_each_image_once(run, images):
    found = answers(run, images / "bridge" / "00[12].png", images / "apple", images / "apple" / "001.png")
    expected = [images / "bridge" / f"00{number}.png" for number in (1, 2)]
    expected += [images / "apple" / f"00{number}.png" for number in range(10)]
    assert [each["file"] for each in found] == [str(each) for each in expected]


def test_the_table_names_the_file_and_its_answers(run, images):
    file = images / "apple" / "000.png"
    lines = triscale("predict", run, file, "--top", "2").out.splitlines()
    assert lines[0] == str(file)
    assert len(lines) == 3
    assert lines[1].split()[1] in ANSWERS


@pytest.fixture
def mixed(tmp_path, images):
    """A folder of one good image, one truncated, one that is text, and one whose name has a space and an accent."""
    shutil.copy(images / "apple" / "000.png", tmp_path / "b good.png")
    shutil.copy(images / "apple" / "000.png", tmp_path / "d él😀<b>.png")
    (tmp_path / "a cut.png").write_bytes((images / "apple" / "000.png").read_bytes()[:200])
    (tmp_path / "c text.png").write_text("not an image")
    return tmp_path


def test_files_that_cannot_be_read_are_told_after_all_others_were_answered(run, mixed):
    done = triscale("predict", run, mixed, mixed / "missing.png", "--json")
    assert done.code == 2
    assert done.err == "triscale: 3 of 5 files could not be read; the others were answered.\n"
    found = json.loads(done.out)
    assert [list(each) for each in found] == [["file", "error"], ["file", "labels"], ["file", "error"],
                                              ["file", "labels"], ["file", "error"]]  # fmt: skip
    assert [each["file"] for each in found if "labels" in each] == [
        str(mixed / "b good.png"),
        str(mixed / "d él😀<b>.png"),
    ]
    assert "truncated or damaged" in found[0]["error"]
    assert "not an image" in found[2]["error"]
    assert "no such file; nearby" in found[4]["error"]


def test_the_table_says_what_is_wrong_with_a_file(run, mixed):
    done = triscale("predict", run, mixed / "c text.png")
    assert done.code == 2
    assert done.out.startswith(f"{mixed / 'c text.png'}\n  error: not an image")


@pytest.mark.parametrize(
    ("model", "said"),
    [
        ("efficientnet_b0", "efficientnet_b0 has no pretrained weights on this machine"),
        ("efficientnet_lite", "did you mean"),
        ("fittet", "no network is called 'fittet'"),
        ("./fittet", "no such file or run folder"),
        ("absent.onnx", "absent.onnx: no such file or run folder"),
        ("photos", "photos: is no run folder (it has no run.json)"),
        ("photos/apple/000.png", "no engine runs a .png file"),
    ],
)
def test_a_model_that_is_none_is_one_line(run, monkeypatch, model, said):
    monkeypatch.chdir(run.parent)
    assert said in refusal("predict", model, "photos")


def test_a_run_without_a_model_says_how_far_it_is(tmp_path, run, images):
    (tmp_path / "run.json").write_text((run / "run.json").read_text().replace("exports/model.onnx", "model.onnx"))
    assert "this run has no model yet (its state is done)" in refusal("predict", tmp_path, images)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("apple/x*.png",), "apple/x*.png: matches no file"),
        (("empty",), "empty: no images in this folder"),
        (("apple", "--top", "0"), "--top must be at least 1"),
    ],
)
def test_images_that_are_none_are_one_line(run, images, tmp_path, monkeypatch, arguments, said):
    (tmp_path / "empty").mkdir()
    (tmp_path / "apple").symlink_to(images / "apple")
    monkeypatch.chdir(tmp_path)
    assert said in refusal("predict", run, *arguments)
