"""A choice as a file."""

import json
import math
from dataclasses import replace

import pytest

from triscale.errors import FileError, RunError
from triscale.fit.choose import Candidate, Choice
from triscale.fit.record import read_choice, write_choice
from triscale.spec.families import network


@pytest.fixture
def choice():
    values = {"params": 3_375_000.0, "macs": 383_900_000.0, "latency": 0.0123}
    chosen = Candidate(network("tf_efficientnet_lite0"), "efficientnet_lite0", 0.751, 1.0, values, True,
                       "at its own size", "the best published accuracy")  # fmt: skip
    over = Candidate(
        network("efficientnet_b0"), None, None, None, {"macs": 1.0}, False, "depth 16 → 8 blocks", "„zu“ 大"
    )
    return Choice(chosen, (over,), ("the images are about 32 px",))


def test_a_choice_comes_back_from_its_file(choice, tmp_path):
    write_choice(choice, tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json") == choice


def test_that_a_network_is_grown_comes_back_too(choice, tmp_path):
    grown = replace(choice.chosen, grown=True, top1=None, kept=1.25)
    write_choice(replace(choice, chosen=grown), tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json").chosen == grown


def test_a_choice_of_the_first_version_has_nothing_grown(choice, tmp_path):
    """A run that began before networks could be grown goes on."""
    path = tmp_path / "choice.json"
    write_choice(choice, path)
    document = json.loads(path.read_text())
    for each in (document["chosen"], *document["rejected"]):
        del each["grown"]
    path.write_text(json.dumps(document | {"version": 1}))
    assert read_choice(path) == choice


def test_what_was_never_measured_is_left_out(choice, tmp_path):
    unmeasured = Candidate(**{**choice_fields(choice.chosen), "values": {"macs": 1.0, "latency": math.inf}})
    write_choice(Choice(unmeasured, (), ()), tmp_path / "choice.json")
    assert read_choice(tmp_path / "choice.json").chosen.values == {"macs": 1.0}


def choice_fields(candidate):
    return {name: getattr(candidate, name) for name in Candidate.__dataclass_fields__}


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(FileError, match=r"choice\.json: no such file"):
        read_choice(tmp_path / "choice.json")


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda document: document.pop("chosen"), "is damaged"),
        (lambda document: document["chosen"].pop("weights"), "is damaged"),
        (lambda document: document["chosen"]["network"].update(classes=-1), "is damaged"),
        (lambda document: document["chosen"].update(values=3), "is damaged"),
        (lambda document: document.update(rejected=3), "is damaged"),
        (lambda document: document["chosen"].pop("grown"), "is damaged"),
        (lambda document: document.update(version=3), "is of version 3, this triscale reads 1 to 2"),
    ],
)
def test_a_damaged_file_is_one_line(choice, tmp_path, damage, said):
    path = tmp_path / "choice.json"
    write_choice(choice, path)
    document = json.loads(path.read_text())
    damage(document)
    path.write_text(json.dumps(document))
    with pytest.raises(RunError, match=said) as caught:
        read_choice(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "3", "null", '"a"'])
def test_a_file_that_holds_something_else_is_one_line(tmp_path, text):
    (tmp_path / "choice.json").write_text(text)
    with pytest.raises(RunError, match="is damaged"):
        read_choice(tmp_path / "choice.json")
