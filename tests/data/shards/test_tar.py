"""The tar reader against Python's own and GNU tar, and against what strangers may send."""

import io
import os
import subprocess
import tarfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triscale.data.shards.tar import MAX_HEADER, TarError, members


def read(data):
    return [tuple(each) for each in members(io.BytesIO(data), len(data))]


def made(files, form=tarfile.PAX_FORMAT):
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=form) as tar:
        for name, data in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return target.getvalue()


FILES = {"a.jpg": b"x" * 700, "b/" + "long" * 60 + ".png": b"y", "ü ñ.cls": b"", "z.cls": b"7" * 512}


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_members_are_those_that_pythons_reader_finds(form):
    data = made(FILES, form)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        expected = [(each.name, each.offset_data, each.size) for each in tar]
    assert read(data) == expected
    assert [name for name, _, _ in expected] == list(FILES)


@pytest.mark.parametrize("form", ["gnu", "oldgnu", "pax", "ustar", "v7"])
def test_members_are_those_that_gnu_tar_packed(tmp_path, form):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    for name, data in (("a.jpg", b"12"), ("deep/b.png", b"3" * 9000), ("deep/empty.cls", b"")):
        (tmp_path / "in" / name).write_bytes(data)
    (tmp_path / "in" / "link.jpg").symlink_to("a.jpg")
    subprocess.run(
        ["tar", f"--format={form}", "--sort=name", "-cf", tmp_path / "x.tar", "-C", tmp_path / "in", "."], check=True
    )
    data = (tmp_path / "x.tar").read_bytes()
    found = {name: data[offset : offset + length] for name, offset, length in read(data)}
    assert found == {"./a.jpg": b"12", "./deep/b.png": b"3" * 9000, "./deep/empty.cls": b""}


@given(st.dictionaries(st.from_regex(r"[a-z]{1,120}\.jpg", fullmatch=True), st.binary(max_size=1500), max_size=4))
def test_any_files_come_back(files):
    data = made(files)
    assert {name: data[offset : offset + length] for name, offset, length in read(data)} == files


@given(st.data())
def test_nothing_but_a_tar_error_comes_of_damage(data):
    tar = bytearray(made({"a.jpg": b"x" * 700, "b" * 150: b"y" * 20}))
    for _ in range(data.draw(st.integers(1, 4))):
        tar[data.draw(st.integers(0, len(tar) - 1))] = data.draw(st.integers(0, 255))
    try:
        for _, offset, length in read(bytes(tar)):
            assert 0 <= offset <= offset + length <= len(tar)
    except TarError:
        pass


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "the file is empty"),
        (100, "truncated: it ends at byte 100, without the end mark"),
        (512, "truncated: it ends at byte 512, a member at byte 0 ends at 1,212"),
        (1000, "truncated: it ends at byte 1,000, a member at byte 0 ends at 1,212"),
        (1536, "truncated: it ends at byte 1,536, without the end mark of a tar file"),
    ],
)
def test_a_file_that_ends_too_early_says_at_which_byte(size, said):
    with pytest.raises(TarError, match=said):
        read(made({"a.jpg": b"x" * 700, "b.jpg": b"y"})[:size])


def test_what_stands_before_the_truncation_is_found():
    data = made({"a.jpg": b"x" * 700, "b.jpg": b"y" * 700})[:2000]
    parts = members(io.BytesIO(data), len(data))
    assert tuple(next(parts)) == ("a.jpg", 512, 700)
    with pytest.raises(TarError, match="truncated"):
        next(parts)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (os.urandom(4096), "not a tar file"),
        (b"\x1f\x8b" + bytes(600), "compressed.*gunzip"),
        (b"PK" * 500, "not a tar"),
    ],
)
def test_what_is_no_tar_file_says_so(data, said):
    with pytest.raises(TarError, match=said):
        read(data)


def test_an_extended_header_decides_not_how_much_is_read():
    """tarfile would read these 8 GB, were they there."""
    header = tarfile.TarInfo("x")
    header.type, header.size = b"x", 8 * 1024**3 - 1
    data = header.tobuf(tarfile.USTAR_FORMAT) + bytes(4096)
    with pytest.raises(TarError, match="the name at byte 0 would have 8,589,934,591 bytes"):
        read(data)
    assert header.size > MAX_HEADER


@pytest.mark.parametrize("record", [b"0 a=b\n", b"99999 path=b\n", b"x", b"12 path", b"9 size=-1\n"])
def test_extended_headers_that_lie_are_refused(record):
    header = tarfile.TarInfo("x")
    header.type, header.size = b"x", len(record)
    data = header.tobuf(tarfile.USTAR_FORMAT) + record.ljust(512, b"\0") + made({"a.jpg": b"x"})
    with pytest.raises(TarError, match=r"damaged|not a tar|no header"):
        read(data)
