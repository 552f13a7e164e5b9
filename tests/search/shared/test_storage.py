"""Where a shared search lives, and what a dashboard shows of it."""

import io
import json

import pytest

from tests.search.helpers import Counting, by_width, candidates
from tests.search.shared.helpers import shared, shared_asker
from triscale.errors import SearchError
from triscale.search.asking import Ask
from triscale.search.shared import storage
from triscale.search.shared.storage import Patient, open_storage, shown

optuna = pytest.importorskip("optuna")


def test_the_dashboard_opens_on_it(tmp_path):
    dashboard = pytest.importorskip("optuna_dashboard")
    where = str(tmp_path / "search.journal")
    shared_asker(tmp_path, where, by_width).all([Ask(each, 0, 10) for each in candidates(3)])
    pages = dashboard.wsgi(open_storage(where))

    def get(path):
        said = []
        asked = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SERVER_NAME": "x",
            "SERVER_PORT": "80",
        }
        given = {"wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.url_scheme": "http"}
        body = b"".join(pages(asked | given, lambda status, headers, *_: said.append(status)))
        assert said[0].startswith("200"), (said, body)
        return json.loads(body)

    (study,) = get("/api/studies")["study_summaries"]
    assert study["study_name"] == "s"
    trials = get(f"/api/studies/{study['study_id']}")["trials"]
    assert [each["state"] for each in trials] == ["Complete"] * 3
    assert {each["key"]: each["value"] for each in trials[0]["user_attrs"]}["name"].strip('"') == candidates(1)[0].name


def test_passwords_are_never_shown():
    assert shown("postgresql://me:secret@host:5432/db") == "postgresql://me:***@host:5432/db"
    assert shown("runs/search.journal") == "runs/search.journal"


def test_what_is_away_for_too_long_is_told_and_other_errors_are_not_waited_for(monkeypatch):
    monkeypatch.setattr(storage, "WAITS", (0.01,))
    said = []
    patiently = Patient("postgresql://me:secret@host/db", said.append, patience=0.05)
    tries = iter([OSError("no route"), OSError("no route"), 7])

    def sometimes():
        result = next(tries)
        if isinstance(result, Exception):
            raise result
        return result

    assert patiently(sometimes) == 7
    assert said == [
        "the storage postgresql://me:***@host/db is away (no route); waiting for it",
        "the storage postgresql://me:***@host/db is back",
    ]

    def never():
        raise OSError("no route")

    with pytest.raises(SearchError, match=r"--storage postgresql://me:\*\*\*@host/db: away for 0 s \(no route\)"):
        patiently(never)
    with pytest.raises(ZeroDivisionError):
        patiently(lambda: 1 / 0)


def test_a_journal_that_was_cut_off_in_its_last_line_goes_on(tmp_path):
    where = tmp_path / "search.journal"
    asks = [Ask(each, 0, 10) for each in candidates(2)]
    shared_asker(tmp_path, where, by_width, "w0").all(asks[:1])
    with where.open("ab") as file:
        file.write(b'{"op_code": 4, "wor')
    score = Counting(by_width)
    shared_asker(tmp_path, where, score, "w1").all(asks)
    assert score.asked == [tuple(asks[1].question)]
    assert [trial.state.name for trial in shared(where).trials()] == ["COMPLETE", "COMPLETE"]
