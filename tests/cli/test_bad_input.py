"""What people give `fit` by mistake: one clear line, exit 2, nothing lost. Each kind through the real command line.

A folder in use, a full disk and Ctrl-C are in tests/fit/test_stopped.py; weights that are wrong in test_train.py.
"""

import json
import shutil
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

import triscale.fit.job as job
from tests.fitted import fit_arguments, refusal, triscale
from tests.images import make_folder, make_image
from tests.nobody import as_nobody
from triscale.deployment.latency import Latency


@pytest.fixture(autouse=True)
def measured_at_once(monkeypatch):
    """Nothing here is about latency."""
    measured = Latency((1.0, 1.0, 1.0), 50, "onnxruntime", "1", "fp32", 1, "some device")
    monkeypatch.setattr(job, "measure_fresh", lambda path: measured)


@pytest.fixture
def photos(tmp_path):
    return make_folder(tmp_path / "photos", classes=3, per_class=3)


def fit_refusal(photos, **changed):
    """The line with which fit refuses; nothing is written, and the images stay as they were."""
    run, folder = photos.parent / "run", photos.parent
    before = {each: each.stat().st_size for each in folder.rglob("*")}
    said = refusal(*fit_arguments(photos, run, **changed))
    assert {each: each.stat().st_size for each in folder.rglob("*")} == before
    return said


def test_a_path_that_does_not_exist_says_what_is_nearby(photos):
    said = fit_refusal(photos.with_name("photo"))
    assert said.startswith(f"triscale: {photos.with_name('photo')}: does not exist; nearby in {photos.parent}: photos")


def test_an_empty_folder(tmp_path):
    (tmp_path / "photos").mkdir()
    assert "photos: the folder is empty; expected DATA/CLASS/*.jpg" in fit_refusal(tmp_path / "photos")


def test_one_class_only(photos):
    shutil.rmtree(photos / "apple")
    shutil.rmtree(photos / "bridge")
    assert "only one class (cloud); a classifier needs at least two" in fit_refusal(photos)


def test_a_folder_of_non_images(tmp_path):
    for name in ("a/notes.txt", "b/more.txt"):
        (tmp_path / "photos" / name).parent.mkdir(parents=True)
        (tmp_path / "photos" / name).write_text("hello")
    assert "no images: 2 files of other kinds (2 .txt)" in fit_refusal(tmp_path / "photos")


def test_images_that_are_something_else(photos):
    (photos / "apple" / "000.png").write_text("<html>404</html>")
    assert f"1 of 9 images cannot be used: {photos / 'apple' / '000.png'}: not an image" in fit_refusal(photos)


def test_a_truncated_jpeg_is_named_and_can_be_skipped(photos):
    for name in ("apple/bad.jpg", "cloud/worse.jpg"):
        make_image(0, 9, size=64).save(photos / name, quality=95)
        (photos / name).write_bytes((photos / name).read_bytes()[:-900])
    said = fit_refusal(photos)
    assert "2 of 11 images cannot be used: " in said
    for name in ("apple/bad.jpg", "cloud/worse.jpg"):
        assert f"{photos / name}: truncated or damaged image" in said
    assert said.endswith("To go on without them: --skip-broken.")


def test_a_decompression_bomb_is_refused_by_its_header(photos):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0))
    (photos / "apple" / "bomb.png").write_bytes(
        b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    )
    said = fit_refusal(photos)
    assert f"{photos / 'apple' / 'bomb.png'}: " in said
    assert "more than 160,000,000 pixels are never decoded; make it smaller or remove it" in said


def odd(folder):
    """One picture in every form that cameras, scanners and editors make of it."""
    image = make_image(1, size=(24, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = image.transpose(Image.Transpose.ROTATE_90)
    image.convert("CMYK").save(folder / "cmyk.jpg", quality=95)
    image.convert("L").save(folder / "grey.png")
    image.quantize(64).save(folder / "palette.gif")
    image.quantize(64).save(folder / "palette.png", transparency=0)
    turned.save(folder / "turned.jpg", quality=95, exif=exif)
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(folder / "deep.png")
    image.convert("RGBA").save(folder / "alpha.webp")
    image.convert("1").save(folder / "black and white.tif")


def test_odd_images_just_work(photos, run, tmp_path):
    (tmp_path / "plain.png").parent.mkdir(exist_ok=True)
    make_image(1, size=(24, 40)).save(tmp_path / "plain.png")
    odd(photos / "bridge")
    done = triscale("predict", run, tmp_path / "plain.png", photos / "bridge", "--json")
    assert (done.code, done.err) == (0, "")
    score = {each["file"].rsplit("/", 1)[-1]: {label["name"]: label["score"] for label in each["labels"]}
             for each in json.loads(done.out)}  # fmt: skip
    for name in ("cmyk.jpg", "turned.jpg", "alpha.webp"):  # the same pixels, but for what JPEG and CMYK lose
        assert score[name]["bridge"] == pytest.approx(score["plain.png"]["bridge"], abs=0.02)
    assert score["deep.png"] == pytest.approx(score["grey.png"], abs=1e-3)
    checked = json.loads(triscale("data", "check", photos, "--json").out)
    assert (checked["images"], [each for each in checked["findings"] if each["kind"] != "duplicate"]) == (17, [])
    assert triscale("eval", run, photos, "--split", "all").code == 0


def test_a_class_folder_with_no_images(photos):
    (photos / "empty").mkdir()
    assert f"{photos / 'empty'}: a class folder with no images; put some into it, or remove it" in fit_refusal(photos)


def test_too_few_images_to_choose_by(photos):
    for each in photos.rglob("00[12].png"):
        each.unlink()
    assert "has no validation images" in fit_refusal(photos)


def test_what_a_user_may_not_read_or_write_is_named(shared_folder):
    """In one process of a user whom permissions bind: an image, a folder of images, and the run's folder."""
    photos = [make_folder(shared_folder / f"photos{number}", classes=2, per_class=3) for number in range(3)]
    image, folder, locked = photos[0] / "apple" / "001.png", photos[1] / "bridge", shared_folder / "locked"
    locked.mkdir(mode=0o755)
    (shared_folder / "free").mkdir()
    (shared_folder / "free").chmod(0o777)
    image.chmod(0o000)
    folder.chmod(0o000)
    runs = (shared_folder / "free" / "first", shared_folder / "free" / "second", locked / "run")
    commands = [fit_arguments(*each) for each in zip(photos, runs, strict=True)]
    said = as_nobody(
        "import triscale.fit.summary, triscale.report.page, triscale.cli.fit, triscale.data.detection.find\n"
        "from triscale.cli.main import main",
        f"for command in {commands!r}:\n    print('exit', main(command), file=__import__('sys').stderr)",
    )
    lines = [line for line in said.splitlines() if line.startswith(("triscale:", "exit", "Traceback"))]
    assert lines[1::2] == ["exit 2"] * 3, said
    for line, expected in zip(
        lines[::2],
        (
            f"{image}: no permission to read it; allow it (chmod +r)",
            f"{folder}: no permission to read this folder",
            f"{locked / 'run'}: cannot be used as a run folder: Permission denied; choose another --out",
        ),
        strict=True,
    ):
        assert expected in line
    assert list((shared_folder / "free").iterdir()) == []


@pytest.mark.parametrize(
    ("budget", "said"),
    [
        ("", "it is empty; write limits as"),
        ("flops<=1G", "unknown word 'flops'; multiply-accumulates are called 'macs' here"),
        ("MACS<=60m", "unknown word 'MACS'; did you mean 'macs'?"),
        ("macs<=60MB", "macs has unknown unit 'MB'; known: K, M, G, T"),
        ("latency<=5min", "latency has unknown unit 'min'; known: us, ms, s"),
        ("macs<=60M,", "nothing beside one of its commas"),
        ("macs=60M", "cannot read 'macs=60M'"),
        ("macs<=60M, macs<=50M", "macs is limited twice"),
        ("macs<=0", "must be above zero"),
    ],
)
def test_a_budget_that_cannot_be_read(photos, budget, said):
    assert said in fit_refusal(photos, budget=budget)


def test_an_impossible_budget_says_the_smallest_and_that_one_is_then_taken(photos, monkeypatch):
    run = photos.parent / "run"
    said = refusal(*fit_arguments(photos, run, "params<=1K"))
    assert "nothing of efficientnet_b0 with 3 classes is inside" in said
    smallest = said.split("has params ")[1].split(";")[0]
    assert json.loads((run / "run.json").read_text())["state"] == "failed"
    assert refusal(*fit_arguments(photos, run, "params<=2K"))  # the folder is free for another budget: nothing was made
    monkeypatch.setattr(job, "train", stopped)
    assert triscale(*fit_arguments(photos, run, f"params<={smallest}")).code == 130
    assert (run / "choice.json").exists()


def stopped(*_):
    raise KeyboardInterrupt


def test_a_folder_that_is_not_empty_or_a_file(photos):
    assert "is not empty and no run folder (it holds photos)" in refusal(*fit_arguments(photos, photos.parent))
    file = photos / "apple" / "000.png"
    (photos.parent / "file").write_bytes(file.read_bytes())
    said = refusal(*fit_arguments(photos, photos.parent / "file"))
    assert "cannot be used as a run folder: File exists; choose another --out" in said


def test_a_run_inside_its_own_images_is_refused(photos, monkeypatch):
    assert "lies inside the images" in refusal(*fit_arguments(photos, photos / "run"))
    monkeypatch.chdir(photos)
    assert "runs/photos: lies inside the images" in refusal("fit", ".", "--budget", "macs<=10M")
    assert not (photos / "runs").exists()


@pytest.mark.parametrize(("option", "said"), [("--epochs=0", "epochs must be at least 1, got 0"),
                                              ("--recipe=best", "unknown recipe 'best'"),
                                              ("--seed=-1", "seed must be at least 0")])  # fmt: skip
def test_options_that_no_recipe_takes(photos, option, said):
    assert said in refusal("fit", photos, "--budget", "macs<=10M", "--out", photos.parent / "run", option)
    assert not (photos.parent / "run").exists()


def test_odd_class_names_and_skipped_images_are_shown(tmp_path):
    names = ["crème brûlée", "<b>bold<b>", "👩\u200d🚀", "a\u2044b", "x'\"&"]
    photos = make_folder(tmp_path / "my photos", classes=len(names), per_class=4)
    for folder, name in zip(sorted(photos.iterdir()), names, strict=True):
        folder.rename(photos / name)
    (photos / names[0] / "half <i>.png").write_bytes((photos / names[0] / "000.png").read_bytes()[:300])
    run = tmp_path / "my run"
    assert triscale(*fit_arguments(photos, run, "macs<=10M, params<=500K"), "--skip-broken").code == 0
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "<b>bold" not in page
    assert "<i>" not in page
    assert "&lt;b&gt;bold&lt;b&gt;" in page
    assert "half &lt;i&gt;.png" in page
    (found,) = json.loads(triscale("predict", run, photos / names[2] / "000.png", "--json").out)
    assert sorted(label["name"] for label in found["labels"]) == sorted(names)
