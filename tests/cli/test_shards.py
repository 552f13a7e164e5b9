"""`triscale data pack`, and shards wherever DATA is asked for."""

import json
import os
import signal

import pytest

from tests.commands import Commands
from tests.data.shards.server import serving
from tests.images import make_folder
from triscale.cli.folders import run_folder
from triscale.cli.main import main


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def photos(tmp_path):
    return make_folder(tmp_path / "photos", classes=3, splits={"train": 10, "val": 4})


def test_pack_says_what_it_wrote(photos, tmp_path, capsys):
    assert main(["data", "pack", str(photos), str(tmp_path / "out"), "--shard-size", "60KB"]) == 0
    said = capsys.readouterr()
    assert f"{tmp_path}/out: 42 images (30 train, 12 val) of 3 classes in 4 shards, 0.2 MB" in said.out
    assert said.err == ""
    assert main(["data", "pack", str(photos), str(tmp_path / "out"), "--shard-size", "60KB", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {"samples": 42, "shards": 4, "skipped": [], "folder": f"{tmp_path}/out"}.items() <= told.items()
    assert main(["data", "check", str(tmp_path / "out")]) == 0
    assert "42 images (30 in train, 12 in val) of 3 classes" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing", "out"], "nothing: does not exist"),
        (
            ["{photos}", "out", "--shard-size", "big"],
            "--shard-size: 'big' is no number of bytes; expected one like 256MB",
        ),
        (["{photos}", "{photos}/x"], "lies inside of the images"),
        (["{photos}", "out", "--test", "1"], "test_share 1.0 must be in 0..1"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(photos, tmp_path, monkeypatch, capsys, arguments, said):
    monkeypatch.chdir(tmp_path)
    assert main(["data", "pack", *(each.format(photos=photos) for each in arguments)]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_damaged_shard_is_exit_2_and_skipped_if_asked(photos, tmp_path, capsys):
    main(["data", "pack", str(photos), str(tmp_path / "out"), "--shard-size", "60KB"])
    os.truncate(tmp_path / "out" / "train-000001.tar", 20_000)
    train = ["train", "efficientnet_lite0", str(tmp_path / "out"), "--epochs", "1", "--size", "32"]
    train += ["--out", str(tmp_path / "run")]
    capsys.readouterr()
    assert main(train) == 2
    said = capsys.readouterr().err
    assert "1 shards cannot be read whole" in said
    assert "train-000001.tar: truncated: it ends at byte 20,000" in said
    assert main(["data", "check", str(tmp_path / "out")]) == 1
    assert main([*train, "--skip-broken"]) == 0
    assert "train-000001.tar" in capsys.readouterr().err


def test_training_and_evaluation_take_urls(photos, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main(["data", "pack", str(photos), "set"])
    with serving(tmp_path) as (_, address):
        train = ["train", "efficientnet_lite0", f"{address}/set", "--epochs", "1", "--size", "32"]
        assert main([*train, "--json"]) == 0
        run = tmp_path / "runs" / "set-efficientnet_lite0"
        assert json.loads((run / "run.json").read_text())["arguments"]["data"] == f"{address}/set"
        capsys.readouterr()
        assert main(train) == 0
        assert "is done already" in capsys.readouterr().err
        assert main(["eval", str(run), f"{address}/set/val-000000.tar", "--split", "all"]) == 0
        assert "on 12 all images" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("data", "name"),
    [
        ("photos/train-{000000..000009}.tar", "photos"),
        ("http://example.org/sets/birds/", "birds"),
        ("http://example.org/sets/birds/shards.json", "birds"),
        ("http://example.org/sets/birds/train-{00..10}.tar", "birds"),
        ("one.tar", "one"),
        ("pipe:cat x.tar", "pipe_cat_x"),
    ],
)
def test_runs_are_named_by_what_names_the_shards(data, name):
    assert str(run_folder(None, data)) == f"runs/{name}"


def test_ctrl_c_while_packing_is_one_line_and_the_same_command_goes_on(tmp_path):
    photos = make_folder(tmp_path / "many", classes=3, per_class=60, size=64)
    with Commands(tmp_path, imports="import triscale.cli.main, triscale.data.shards.pack") as commands:
        commands.start("data", "pack", photos, tmp_path / "out", "--shard-size", "60KB")
        commands.when(tmp_path / "out" / "train-000002.tar")
        done = commands.strike(signal.SIGINT)
        assert done.code == 130
        assert done.err == "triscale: interrupted; the same command again goes on where it stopped.\n"
        assert not (tmp_path / "out" / "shards.json").exists()
        assert commands.do("data", "pack", photos, tmp_path / "out", "--shard-size", "60KB").code == 0
    assert main(["data", "check", str(tmp_path / "out")]) == 0
