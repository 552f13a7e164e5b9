"""A member of a shard is used like a path, and its trouble is told like that of a file."""

import pytest

from tests.data.shards.helpers import png, write_tar
from triscale.data.facts import look
from triscale.data.images import ImageError, image_header, open_image
from triscale.data.member import Member
from triscale.data.shards.index import LocalShard


@pytest.fixture
def member(tmp_path):
    shard = write_tar(tmp_path / "train-000003.tar", [("cat/17.png", png()), ("cat/17.cls", b"0")])
    return Member(LocalShard(shard), 512, len(png()), "cat/17.png")


def test_it_is_named_by_its_shard_and_its_own_name(member, tmp_path):
    assert str(member) == f"{tmp_path}/train-000003.tar: cat/17.png"
    assert member.suffix == ".png"
    assert member.parts[-2:] == ("train-000003.tar", "cat/17.png")


def test_it_is_opened_like_a_file_and_has_the_same_facts(member, tmp_path):
    (tmp_path / "17.png").write_bytes(png())
    assert member.read_bytes() == png()
    assert open_image(member).tobytes() == open_image(tmp_path / "17.png").tobytes()
    assert image_header(member) == ("PNG", (24, 24))
    assert look(member) == look(tmp_path / "17.png")


@pytest.mark.parametrize(
    ("harm", "fault", "said"),
    [
        (lambda path: path.unlink(), "missing", "the shard is gone"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "broken", "the shard ends at byte 900, the image at"),
        (lambda path: path.write_bytes(bytes(5000)), "not-image", "its content is of no known format"),
        (lambda path: path.write_bytes(bytes(512) + png()[:60] + bytes(5000)), "broken", "truncated or damaged"),
    ],
)
def test_what_happened_to_the_shard_is_said_of_the_image(member, harm, fault, said):
    harm(member.shard.path)
    with pytest.raises(ImageError, match=said) as caught:
        open_image(member)
    assert caught.value.fault == fault
    assert str(caught.value).startswith(f"{member}: ")
    assert look(member).trouble.fault == fault


def test_an_empty_member_is_an_empty_image(member):
    with pytest.raises(ImageError, match="the image is empty"):
        open_image(Member(member.shard, 512, 0, "a.png"))
