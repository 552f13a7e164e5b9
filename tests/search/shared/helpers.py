"""What the tests of shared searches share."""

import threading

from tests.search.helpers import BASELINE
from triscale.search.ledger import Ledger
from triscale.search.shared.asker import SharedAsker
from triscale.search.shared.study import SharedStudy

SUBJECT = {"search": "test"}
QUICK = {"every": 0.05, "dead_after": 0.6}


def shared(where, name="s", subject=SUBJECT, **changes):
    """A study with quick pulses."""
    return SharedStudy(str(where), name, subject, **{**QUICK, **changes})


def shared_asker(folder, where, score, worker="w", **changes):
    """An asker of a worker with a folder of its own."""
    return SharedAsker(
        score, Ledger(folder / worker / "ledger.jsonl", SUBJECT), shared(where), worker, pause=0.02, **changes
    )


def together(count, work):
    """Run work(number) in so many threads. Returns: what they returned; raises what the first of them raised."""
    found, errors = [None] * count, []

    def run(number):
        try:
            found[number] = work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    if errors:
        raise errors[0]
    return found


__all__ = ["BASELINE", "QUICK", "SUBJECT", "shared", "shared_asker", "together"]
