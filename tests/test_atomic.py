"""Files are there whole or not at all."""

import os
import subprocess
import sys

import pytest

from triscale import atomic
from triscale.errors import FileError


def test_a_file_takes_the_place_of_the_old_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    atomic.write_text(path, "first")
    atomic.write_text(path, "second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_a_block_that_fails_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="halfway"), atomic.replacing(path) as temporary:
        temporary.write_bytes(b"new, but not all of")
        raise ValueError("halfway")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_a_writer_made_private_is_as_readable_as_any_new_file(tmp_path):
    ordinary, path = tmp_path / "ordinary", tmp_path / "private"
    ordinary.touch()
    with atomic.replacing(path) as temporary:
        temporary.unlink()
        os.close(os.open(temporary, os.O_CREAT | os.O_WRONLY, 0o600))
    assert path.stat().st_mode == ordinary.stat().st_mode


def test_a_folder_that_is_a_file_is_told_in_one_line(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileError, match="a part of the path is a file"):
        atomic.write_text(tmp_path / "file" / "inside", "x")


FULL_DISK = """
import resource, sys
from triscale import atomic
from triscale.errors import FileError
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
try:
    atomic.write_bytes(sys.argv[1], b"x" * 5000)
except FileError as error:
    print(error)
"""


def test_a_full_disk_is_told_and_the_old_file_stays(tmp_path):
    path = tmp_path / "file.bin"
    path.write_bytes(b"old")
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout and done.stdout.count("\n") == 1
    assert path.read_bytes() == b"old"
    assert [each.name for each in tmp_path.iterdir()] == ["file.bin"]


@pytest.mark.parametrize("path", ["/", "."])
def test_a_path_without_a_name_is_told_in_one_line(path):
    with pytest.raises(FileError, match="cannot be written: it is a folder; give the name of a file"):
        atomic.write_text(path, "")
