import json
import shutil
import subprocess
import sys

import pytest
from PIL import Image

from tests.images import make_folder, make_image
from tests.nobody import as_nobody
from triscale.cli.main import main
from triscale.data.check import check
from triscale.errors import DataError


def found(path):
    report = check(path)
    folder = path if path.is_dir() else path.parent
    return {(each.kind, each.path.relative_to(folder).as_posix()) for each in report.findings}


def test_a_sound_set_has_nothing_wrong(tmp_path):
    report = check(make_folder(tmp_path, classes=3, per_class=8))
    assert report.ok
    assert (report.images, report.classes) == (24, {"apple": 8, "bridge": 8, "cloud": 8})
    assert report.notes == ("Sizes from 32 x 32 to 32 x 32 pixels; the median shorter side is 32.",)


def test_every_planted_fault_is_named(tmp_path):
    """One fault of each kind; nothing else is named."""
    make_folder(tmp_path, classes=3, per_class=8, size=64, suffix=".jpg")
    apple, bridge = tmp_path / "apple", tmp_path / "bridge"
    (apple / "000.jpg").write_bytes((apple / "000.jpg").read_bytes()[:500])
    (apple / "001.jpg").write_bytes(b"")
    (apple / "002.jpg").write_text("not an image")
    shutil.copy(apple / "003.jpg", apple / "copy.jpg")
    shutil.copy(apple / "004.jpg", bridge / "was-apple.jpg")
    make_image(0, 50, size=64).save(apple / "five.png")
    make_image(0, 50, size=64).save(apple / "six.bmp")  # other bytes, same pixels
    make_image(1, 51).save(bridge / "seven.jpg", format="PNG")
    make_image(1, 52).save(bridge / "eight.txt", format="PNG")
    make_image(1, 53).save(tmp_path / "outside.png")
    make_image(1, 54, size=(4, 40)).save(bridge / "tiny.png")
    (bridge / "notes.txt").write_text("words")
    (tmp_path / "zebra").mkdir()
    assert found(tmp_path) == {
        ("broken", "apple/000.jpg"),
        ("empty", "apple/001.jpg"),
        ("not-image", "apple/002.jpg"),
        ("duplicate", "apple/copy.jpg"),
        ("mislabelled", "bridge/was-apple.jpg"),
        ("duplicate", "apple/six.bmp"),
        ("wrong-suffix", "bridge/seven.jpg"),
        ("wrong-suffix", "bridge/eight.txt"),
        ("stray", "outside.png"),
        ("tiny", "bridge/tiny.png"),
        ("stray", "bridge/notes.txt"),
        ("empty-class", "zebra"),
    }


def test_the_other_file_and_what_is_the_same_are_said(tmp_path):
    make_folder(tmp_path, classes=2)
    shutil.copy(tmp_path / "apple" / "000.png", tmp_path / "bridge" / "x.png")
    (finding,) = check(tmp_path).findings
    assert finding.message == "the same bytes as apple/000.png in another class (apple)"
    assert finding.other == tmp_path / "apple" / "000.png"


def test_the_same_jpeg_with_other_exif_is_the_same_image(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    data = make_image(0, 9, size=300)
    data.save(tmp_path / "apple" / "x.jpg")
    stored = (tmp_path / "apple" / "x.jpg").read_bytes()
    comment = b"\xff\xfe\x00\x07hello"
    (tmp_path / "apple" / "y.jpg").write_bytes(stored[:2] + comment + stored[2:])
    (finding,) = check(tmp_path).findings
    assert (finding.kind, finding.message) == ("duplicate", "the same pixels as apple/x.jpg in the same class")


def test_images_in_two_splits_leak(tmp_path):
    make_folder(tmp_path, classes=2, splits={"train": 3, "val": 2, "test": 2})
    shutil.copy(tmp_path / "train/apple/000.png", tmp_path / "val/apple/x.png")
    shutil.copy(tmp_path / "train/apple/001.png", tmp_path / "test/bridge/x.png")
    assert found(tmp_path) == {
        ("leak", "val/apple/x.png"),
        ("leak", "train/apple/001.png"),
        ("mislabelled", "train/apple/001.png"),
    }


def test_classes_that_cannot_be_learnt_are_named(tmp_path):
    one = make_folder(tmp_path / "one", classes=1)
    assert [each.kind for each in check(one).findings] == ["single-class"]
    make_folder(tmp_path / "two", classes=2, splits={"train": 2, "val": 2})
    (tmp_path / "two/val/apple").rename(tmp_path / "two/val/aple")
    (finding,) = check(tmp_path / "two").findings
    assert (finding.kind, finding.message) == ("unknown-class", "class aple has no training images")


def test_a_csv_with_two_labels_for_a_file_or_a_missing_file(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    (tmp_path / "set.csv").write_text("path,label\napple/000.png,a\napple/001.png,b\napple/000.png,b\nnone.png,a\n")
    assert found(tmp_path / "set.csv") == {("mislabelled", "apple/000.png"), ("missing", "none.png")}


def test_a_file_without_read_permission_is_named(shared_folder):
    make_folder(shared_folder / "set", classes=2, per_class=2)
    (shared_folder / "set" / "apple" / "001.png").chmod(0)
    program = f"import sys\nprint(triscale.data.check.check({str(shared_folder / 'set')!r}).findings, file=sys.stderr)"
    said = as_nobody("import PIL.Image, triscale.data.check\nPIL.Image.init()", program)
    assert "kind='unreadable'" in said
    assert said.count("Finding(") == 1


def test_a_bomb_is_named_and_not_decoded(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    Image.new("1", (20_000, 9_000)).save(tmp_path / "apple" / "bomb.png")
    assert found(tmp_path) == {("too-large", "apple/bomb.png")}


def test_imbalance_is_a_note(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    make_folder(tmp_path, classes=1, per_class=20)
    report = check(tmp_path)
    assert report.ok
    assert "Unbalanced: apple has 20 training images, bridge only 2." in report.notes


def test_progress_ends_with_all_images(tmp_path):
    calls = []
    check(make_folder(tmp_path, classes=5, per_class=10, size=8), progress=lambda *each: calls.append(each))
    assert calls[-1] == (50, 50)
    assert calls == sorted(calls)


def test_an_empty_folder_cannot_be_checked(tmp_path):
    with pytest.raises(DataError, match="the folder is empty"):
        check(tmp_path)


# --- the command


def test_the_command_exits_0_where_nothing_is_wrong(tmp_path, capsys):
    assert main(["data", "check", str(make_folder(tmp_path, classes=2))]) == 0
    assert "16 images of 2 classes" in capsys.readouterr().out


def test_the_command_exits_1_and_names_the_file(tmp_path, capsys):
    make_folder(tmp_path, classes=2)
    (tmp_path / "apple" / "003.png").write_bytes(b"")
    assert main(["data", "check", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "empty  apple/003.png  the file is empty (0 bytes); replace or remove it." in said
    assert "1 empty." in said


def test_the_command_prints_json(tmp_path, capsys):
    make_folder(tmp_path, classes=2)
    shutil.copy(tmp_path / "apple/000.png", tmp_path / "apple/x.png")
    assert main(["data", "check", str(tmp_path), "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["counts"] == {"duplicate": 1}
    assert report["ok"] is False
    assert report["findings"][0]["path"].endswith("apple/x.png")


def test_the_command_exits_2_on_a_path_that_does_not_exist(tmp_path, capsys):
    assert main(["data", "check", str(tmp_path / "nothing")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_checking_needs_no_torch(tmp_path):
    make_folder(tmp_path, classes=2, per_class=2)
    program = (
        "import sys\nfrom triscale.cli.main import main\n"
        f"code = main(['data', 'check', {str(tmp_path)!r}])\nassert 'torch' not in sys.modules\nsys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
