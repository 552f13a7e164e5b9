"""Shards from elsewhere: fetched once, whole or not at all, within a limit, and each failure in one line."""

import contextlib
import json
import os
import stat
import sys
import threading
import time

import pytest
import torch

from tests.data.shards.helpers import samples, write_tar
from tests.data.shards.server import serving
from tests.images import make_folder
from triscale.data.augment import Augmentation
from triscale.data.check import check
from triscale.data.dataset import read_dataset
from triscale.data.loader import Batches
from triscale.data.shards import download, order
from triscale.data.shards.pack import pack
from triscale.data.shards.store import Store, bytes_of
from triscale.errors import DataError, FileError, MissingExtraError
from triscale.spec.preprocessing import Preprocessing

PREPROCESSING = Preprocessing(size=(16, 16))


@pytest.fixture(scope="module")
def packed(tmp_path_factory):
    """60 images in ten shards of 30 kB, which no test changes."""
    folder = tmp_path_factory.mktemp("packed")
    make_folder(folder / "images", classes=3, per_class=20)
    return pack(folder / "images", folder / "shards", 30_000).folder


@pytest.fixture
def served(packed):
    with serving(packed) as found:
        yield found


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(download, "PAUSES", (0.01, 0.02))


def epoch(data, number=1, batch=8, start=0):
    batches = Batches(read_dataset(data).train, PREPROCESSING, batch, Augmentation(), seed=3)
    return [each.images.clone() for each in batches.epoch(number, start)]


def taken(folder):
    """Bytes of its shards; one may go while they are counted."""
    total = 0
    for each in folder.glob("*.tar"):
        with contextlib.suppress(FileNotFoundError):
            total += each.stat().st_size
    return total


def equal(first, second):
    return len(first) == len(second) and all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize("pattern", ["", "/", "/shards.json", "/train-{000000..000009}.tar"])
def test_shards_behind_urls_are_the_set_that_was_packed(served, packed, pattern):
    server, address = served
    assert read_dataset(address + pattern).fingerprint == read_dataset(packed).fingerprint
    assert not any(path.endswith(".tar") for path in server.asked)  # the index is enough
    assert equal(epoch(address + pattern), epoch(packed))
    fetched = [path for path in server.asked if path.endswith(".tar")]
    assert sorted(fetched) == [f"/train-{number:06d}.tar" for number in range(10)]
    epoch(address + pattern, 2)
    assert len([path for path in server.asked if path.endswith(".tar")]) == 10  # each came once


def test_shards_without_shards_json_are_looked_into_once(tmp_path):
    for number in range(3):
        write_tar(tmp_path / f"train-{number:03d}.tar", samples([0, 1, 2, 1], prefix=f"{number}-"))
    with serving(tmp_path) as (server, address):
        data = f"{address}/train-{{000..002}}.tar"
        dataset = read_dataset(data, val_share=0.0)
        assert (dataset.classes, len(dataset.train)) == (("0", "1", "2"), 12)
        assert read_dataset(data, val_share=0.0) == dataset
        assert len([path for path in server.asked if path.endswith(".tar")]) == 3
        assert check(data).counts() == check(tmp_path).counts()


def test_a_shard_that_changed_on_the_server_is_fetched_anew(tmp_path):
    shard = write_tar(tmp_path / "x.tar", samples([0, 1, 2]))
    with serving(tmp_path) as (_, address):
        first = read_dataset(f"{address}/x.tar", val_share=0.0)
        write_tar(shard, samples([0, 1, 2, 2]))
        os.utime(shard, (1, 1))
        assert (len(first.train), len(read_dataset(f"{address}/x.tar", val_share=0.0).train)) == (3, 4)


def test_less_room_than_the_set_takes_gives_the_same_batches(served, packed, cache, monkeypatch):
    server, address = served
    monkeypatch.setattr(order, "WINDOW_BYTES", 61_440)  # two shards
    expected = epoch(packed)
    monkeypatch.setenv("TRISCALE_SHARDS_LIMIT", "200KB")
    most = []
    batches = Batches(read_dataset(address).train, PREPROCESSING, 8, Augmentation(), seed=3)
    found = []
    for batch in batches.epoch(1):
        found.append(batch.images.clone())
        most.append(taken(cache))
    assert equal(found, expected)
    assert max(most) <= 200_000 < 10 * 30_720
    assert equal(epoch(address, start=3), expected[3:])  # and from the middle
    assert len([path for path in server.asked if path.endswith(".tar")]) > 10


def test_the_next_window_is_brought_while_this_one_is_used(served, cache, monkeypatch):
    monkeypatch.setattr(order, "WINDOW_BYTES", 61_440)  # two shards
    batches = Batches(read_dataset(served[1]).train, PREPROCESSING, 1, Augmentation())
    windows = batches._reading(0).windows
    coming = batches.epoch(0)
    next(coming)
    until = time.monotonic() + 10
    while len(list(cache.glob("*.tar"))) < 4 and time.monotonic() < until:
        time.sleep(0.01)
    assert {each.stem for each in cache.glob("*.tar")} == {shard.key for window in windows[:2] for shard in window}
    coming.close()


def test_a_limit_that_is_too_small_costs_time_alone(served, packed, monkeypatch):
    _, address = served
    expected = epoch(packed)
    monkeypatch.setenv("TRISCALE_SHARDS_LIMIT", "1KB")
    assert equal(epoch(address), expected)


def test_a_limit_that_is_no_size_is_refused(served, monkeypatch):
    monkeypatch.setenv("TRISCALE_SHARDS_LIMIT", "much")
    with pytest.raises(DataError, match="TRISCALE_SHARDS_LIMIT: 'much' is no number of bytes; expected one like 256MB"):
        read_dataset(served[1])
    assert bytes_of("256MB", "") == 256_000_000


@pytest.mark.parametrize("fault", ["cut", 503, 429])
def test_what_fails_once_is_tried_again(served, packed, fault):
    server, address = served
    server.faults = {"/train-000003.tar": [fault], "/shards.json": [fault]}
    assert equal(epoch(address), epoch(packed))
    assert server.asked.count("/train-000003.tar") == 2


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("cut", r"train-000003\.tar: truncated: 15,360 of 30,720 bytes came, 3 times; try again later"),
        (404, r"train-000003\.tar: the server answers 404 \(Not Found\): there is no such file; check the address"),
        (
            403,
            r"train-000003\.tar: the server answers 403 \(Forbidden\); check the address, and whether it needs a login",
        ),
        (500, r"train-000003\.tar: the server answers 500 \(Internal Server Error\), 3 times; try again later"),
    ],
)
def test_what_keeps_failing_is_one_line(served, cache, fault, said):
    server, address = served
    server.faults = {"/train-000003.tar": [fault] * 99}
    with pytest.raises(DataError, match=said) as caught:
        epoch(address)
    assert "\n" not in str(caught.value)
    until = time.monotonic() + 10  # for what else was on its way
    while list(cache.glob("*.part")) and time.monotonic() < until:
        time.sleep(0.01)
    assert not list(cache.glob("*.part"))


def test_a_shard_of_another_content_is_refused(packed, tmp_path):
    for each in packed.iterdir():
        data = bytearray(each.read_bytes())
        if each.name == "train-000003.tar":
            data[-1] = 1
        if each.name == "train-000004.tar":
            data += bytes(512)
        (tmp_path / each.name).write_bytes(data)
    with serving(tmp_path) as (_, address):
        for number, said in (
            (3, "its content is not what shards.json says"),
            (4, "has 31,232 bytes, shards.json says"),
        ):
            shard = f"train-{number:06d}.tar"
            with pytest.raises(DataError, match=f"{shard}: {said}"):
                epoch(f"{address}/{shard}", batch=1)


def test_no_network_is_one_line():
    with serving(".") as (_, address):
        pass
    with pytest.raises(DataError, match=r"cannot be reached \(.*refused\), 3 times; try again later"):
        read_dataset(f"{address}/x.tar")


def test_an_address_without_shards_says_how_to_name_them(tmp_path):
    with (
        serving(tmp_path) as (_, address),
        pytest.raises(DataError, match=r"there is none; name the shards, like http"),
    ):
        read_dataset(f"{address}/set/")


def test_other_schemes_go_through_the_webdataset_library(packed, tmp_path, monkeypatch):
    """A program of the name that the library calls for gs://, which reads from this disk."""
    program = tmp_path / "gsutil"
    program.write_text(f"#!{sys.executable}\nimport sys\nname = sys.argv[2].removeprefix('gs://bucket/')\n"
                       f"sys.stdout.buffer.write(open({str(packed)!r} + '/' + name, 'rb').read())\n")  # fmt: skip
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    assert equal(epoch("gs://bucket/"), epoch(packed))
    command = f"pipe:cat {packed}/train-{{000000..000002}}.tar"
    assert len(read_dataset(command, val_share=0.0).train) == len(
        read_dataset(packed / "train-{000000..000002}.tar", val_share=0.0).train
    )


def test_a_program_that_fails_or_is_missing_is_one_line(monkeypatch, tmp_path):
    with pytest.raises(DataError, match="pipe:exit 3: the webdataset library cannot read it"):
        read_dataset("pipe:exit 3")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DataError, match="is the program that it calls installed"):
        read_dataset("gs://bucket/")


def test_without_the_library_the_install_command_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "webdataset.gopen", None)
    with pytest.raises(
        MissingExtraError, match=r"Reading shards by gs: needs webdataset.*pip install 'triscale\[shards\]'"
    ):
        read_dataset("gs://bucket/")


def test_two_that_need_a_shard_bring_it_once(tmp_path):
    store, came, begun = Store(tmp_path / "store", 10**6), [], threading.Barrier(4)

    def bring(place):
        came.append(place)
        place.write_bytes(b"shard")

    def need():
        begun.wait()
        assert store.has("key", bring, 5).read_bytes() == b"shard"

    threads = [threading.Thread(target=need) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(came) == 1


def test_room_is_made_by_what_was_not_used_for_longest(tmp_path):
    store = Store(tmp_path / "store", 25)
    for number, key in enumerate("abc"):
        store.has(key, lambda place: place.write_bytes(b"0123456789"), 10)
        if key != "c":
            os.utime(store.path(key), (number, number))
    assert sorted(each.name for each in store.folder.glob("*.tar")) == ["b.tar", "c.tar"]
    store.keep("b")
    store.has("d", lambda place: place.write_bytes(b"0123456789"), 10)
    assert sorted(each.name for each in store.folder.glob("*.tar")) == ["b.tar", "d.tar"]


def test_what_cannot_be_brought_leaves_nothing(tmp_path):
    store = Store(tmp_path / "store", 100)

    def full(place):
        place.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    with pytest.raises(FileError, match="the disk is full"):
        store.has("key", full, 10)
    assert not [each for each in store.folder.iterdir() if each.suffix in (".tar", ".part")]


def test_a_download_that_nobody_waits_for_stops(served, tmp_path):
    abandoned = threading.Event()
    abandoned.set()
    with pytest.raises(DataError, match="stopped after 0 bytes"):
        download.download(f"{served[1]}/train-000000.tar", tmp_path / "x", abandoned=abandoned)


def test_the_manifest_of_a_server_cannot_name_other_places(packed, tmp_path):
    known = json.loads((packed / "shards.json").read_text())
    known["shards"][0]["name"] = "x/../../secret.tar"
    (tmp_path / "shards.json").write_text(json.dumps(known))
    with serving(tmp_path) as (_, address), pytest.raises(DataError, match="is no name of a shard"):
        read_dataset(address)
