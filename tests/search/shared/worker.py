"""A worker as a process of its own: python -m tests.search.shared.worker KIND STORAGE FOLDER [SECONDS].

KIND: grid (halving over 6 networks) or budget (12 trials). It writes "begin KEY SEED STEPS" before each score and "end"
after it, into FOLDER/log, and what it concludes into FOLDER/found.
"""

import sys
import time
from pathlib import Path

from tests.search.budget.helpers import small, smooth
from tests.search.helpers import asker, by_width, candidates
from tests.search.shared.helpers import SUBJECT, shared
from triscale.search.budget.result import conclude
from triscale.search.budget.search import Plan
from triscale.search.halving import Rung, halve
from triscale.search.ledger import Ledger
from triscale.search.shared.asker import SharedAsker

TRIALS = 12
RUNGS = (Rung(10, 1, 1 / 2), Rung(20, 2))
ASKED = {"grid": 6 + 3 * 2, "budget": TRIALS}


def main(kind, where, folder, seconds="0.3"):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)

    def score(candidate, seed, steps):
        with (folder / "log").open("a") as log:
            print("begin", candidate.key, seed, steps, file=log, flush=True)
            time.sleep(float(seconds))
            print("end", candidate.key, seed, steps, file=log, flush=True)
        return (by_width if kind == "grid" else smooth)(candidate, seed, steps)

    def say(line):
        print(line, file=sys.stderr, flush=True)

    if kind == "grid":
        ask = SharedAsker(score, Ledger(folder / "ledger.jsonl", SUBJECT), shared(where, say=say), pause=0.05)
        found = halve(candidates(6), ask, RUNGS).best.candidate.key
    else:
        from triscale.search.budget.sampler import BudgetSampler
        from triscale.search.budget.worker import work

        proposals = small()
        sampler = BudgetSampler(proposals)
        study = shared(where, sampler=sampler, say=say)
        asked = work(study, sampler, asker(folder, score), Plan(TRIALS, 10), pause=0.05)
        found = conclude(proposals, asked).winner.candidate.key
    (folder / "found").write_text(found)


if __name__ == "__main__":
    main(*sys.argv[1:])
