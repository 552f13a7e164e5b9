"""Searches that several workers do, from the command line."""

import json
import re
from dataclasses import replace

import pytest

from tests.fitted import refusal, triscale
from triscale.cli.workers import Workers
from triscale.errors import SpecError
from triscale.search import preset
from triscale.search.halving import Rung
from triscale.search.spread import Alone, Together
from triscale.spec.files import read_network
from triscale.training.lock import release_lock, take_lock

pytest.importorskip("scipy")
pytest.importorskip("optuna")


@pytest.fixture(autouse=True)
def brief(monkeypatch):
    """The preset `tiny` in seconds."""
    rungs = (Rung(1, 1, 1 / 3), Rung(2, 2))
    own = replace(
        preset.PRESETS["tiny"], per_class=8, judged=18, rungs=rungs, trials=9, most=6, final_seeds=1, growths=(2.0,)
    )
    monkeypatch.setitem(preset.PRESETS, "tiny", own)


def ledger(run, name="ledger.jsonl"):
    answers = [json.loads(line) for line in (run / name).read_text().splitlines()[1:]]
    return {(each["key"], each["seed"], each["steps"]): each["score"] for each in answers}


@pytest.mark.parametrize("part", ["budget", "coefficients"])
def test_a_second_worker_hears_all_that_the_first_has_trained(part, few_images, small_baseline, tmp_path):
    pytest.importorskip("matplotlib")
    limits = ("--budget", "macs<=3M, params<=60K") if part == "budget" else ()
    storage = ("--storage", tmp_path / "search.journal", "--study", "mine")
    common = ("search", part, few_images, "--baseline", small_baseline, "--size", 48, *limits, *storage)
    first = triscale(*common, "--out", tmp_path / "one")
    assert first.code == 0, first.err
    before = len((tmp_path / "search.journal").read_text().splitlines())
    second = triscale(*common, "--out", tmp_path / "two")
    assert second.code == 0, second.err
    assert ledger(tmp_path / "one") == ledger(tmp_path / "two")
    assert ledger(tmp_path / "one", "test.jsonl") == ledger(tmp_path / "two", "test.jsonl")
    assert len((tmp_path / "search.journal").read_text().splitlines()) - before < 20, "it asked nothing"
    name = "search.json" if part == "budget" else "coefficients.json"
    one, two = (json.loads((tmp_path / run / name).read_text()) for run in ("one", "two"))
    assert one == two
    other = (*common[:5], "--size", 64, *limits, *storage, "--out", tmp_path / "three")
    assert re.search(r"its study 'mine, \w+' is of another search: baseline is", refusal(*other))


def test_what_a_search_found_is_scaled_exported_and_fitted(few_images, small_baseline, tmp_path):
    pytest.importorskip("onnxruntime")
    command = ("search", "budget", few_images, "--baseline", small_baseline, "--size", 48, "--budget", "macs<=3M")
    done = triscale(*command, "--honesty", "later", "--out", tmp_path / "run")
    assert done.code == 0, done.err
    found = tmp_path / "run" / "network.json"
    scaled = triscale("scale", found, "--to", "macs<=1M", "--out", tmp_path / "small.json")
    assert scaled.code == 0, scaled.err
    exported = triscale("export", found, tmp_path / "found.onnx", "--count", 2)
    assert exported.code == 0 and "has no weights; it gets fresh ones" in exported.err, exported.err
    budget = ("--budget", "macs<=3M", "--epochs", 1)
    fitted = triscale("fit", few_images, "--network", found, *budget, "--out", tmp_path / "fitted")
    assert fitted.code == 0, fitted.err
    assert read_network(tmp_path / "fitted" / "network.json") == read_network(found)


def test_a_worker_beside_another_takes_a_folder_beside_its(tmp_path):
    workers, folder = Workers(storage="search.journal"), tmp_path / "run"
    assert workers.folder(folder, given=False) == folder
    held = take_lock(folder)
    try:
        assert workers.folder(folder, given=False) == tmp_path / "run-worker2"
        assert workers.folder(folder, given=True) == Workers().folder(folder, given=False) == folder
    finally:
        release_lock(held)
    assert workers.folder(folder, given=False) == folder


def test_options_become_who_trains():
    assert Workers().spread("name") == Alone()
    assert Workers(storage="a.journal").spread("name") == Together("a.journal", "name")
    assert Workers(storage="a.journal", study="own").spread("name") == Together("a.journal", "own")
    cluster = Workers(on="ray://head:10001", cores=4, gpus=0.5, memory="4GB").spread("name")
    assert (cluster.address, cluster.cores, cluster.gpus, cluster.memory) == ("ray://head:10001", 4, 0.5, 4_000_000_000)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"storage": "a", "on": "ray"}, "two ways to spread a search"),
        ({"study": "a"}, "--study names a search in a --storage"),
        ({"cores": 2}, "asked of a Ray cluster"),
        ({"on": "dask"}, "--on dask: expected ray"),
        ({"on": "ray", "cores": 0}, "--cores 0"),
        ({"on": "ray", "gpus": -1.0}, "--gpus -1"),
        ({"on": "ray", "memory": "lots"}, "--memory lots: cannot be read"),
    ],
)
def test_options_that_contradict_are_one_line(given, said):
    with pytest.raises(SpecError, match=said):
        Workers(**given).spread("name")


def test_code_of_ones_own_does_not_travel_to_a_cluster(few_images):
    said = refusal("search", "coefficients", few_images, "--baseline", "own.py:make", "--on", "ray")
    assert "own.py:make is a file of this machine alone; spread it with --storage" in said


def test_a_storage_that_cannot_be_opened_is_one_line(few_images, small_baseline, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0 no journal\n" * 3)
    for number, (storage, said) in enumerate(
        [
            (tmp_path / "photo.jpg", "is no journal of a search"),
            (tmp_path, "cannot be used as a journal: Is a directory"),
            ("postgresql://me:secret@127.0.0.1:1/none", r"me:\*\*\*@127.0.0.1:1/none: cannot be opened"),
            ("postgres://127.0.0.1/none", "write postgresql://"),
            ("nonsense://127.0.0.1/none", "cannot be opened"),
        ]
    ):
        where = ("--storage", storage, "--out", tmp_path / f"run{number}")
        found = refusal("search", "coefficients", few_images, "--baseline", small_baseline, "--size", 48, *where)
        assert re.search(said, found), found
        assert "secret" not in found
