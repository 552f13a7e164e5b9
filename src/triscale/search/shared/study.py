"""A study that workers share: one trial for each thing that is asked, held by one worker, answered once.

A trial that runs is a claim. Of two claims of the same thing the earlier one holds, for a storage numbers its trials
one after the other. Who dies leaves a trial without pulse, which anybody may free; the thing is then claimed anew. An
answer that comes after that is not taken, so that nothing is counted twice.
"""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import msgspec

from triscale.errors import SearchError
from triscale.search.candidate import Candidate, Multipliers
from triscale.search.ledger import Entry, Question
from triscale.search.shared.pulse import DEAD_AFTER, EVERY, Watch, beating
from triscale.search.shared.storage import Patient, open_storage, quiet_optuna

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.trial import FrozenTrial, Trial

# Attributes of a trial. A mark tells a worker which of equal claims is its own.
ANSWERS, BEAT, QUESTION, MARK, FAILURE = "answers", "beat", "question", "mark", "failure"
SUBJECT = "subject"  # attribute of the study
WIDEST = 1024.0  # no multiplier is above


class SharedStudy:
    """A study in a storage.

    where: a journal file, or a database's URL. name: of the study. subject: what decides the scores, by name; a study
    of another subject is refused. sampler: of a search that Optuna asks. say: told when the storage goes away.
    every, dead_after: seconds between two beats of a worker, and without one until it counts as dead.
    Raises: SearchError for a storage that cannot be opened, or a study of another subject.
    """

    def __init__(
        self,
        where: str,
        name: str,
        subject: Mapping[str, str],
        sampler: BaseSampler | None = None,
        say: Callable[[str], None] = lambda line: None,
        every: float = EVERY,
        dead_after: float = DEAD_AFTER,
    ) -> None:
        optuna = quiet_optuna()
        self.name, self.patiently, self._every = name, Patient(where, say), every
        self._watch = Watch(dead_after)
        storage = open_storage(where)
        self.study = self.patiently(
            lambda: optuna.create_study(
                storage=storage, sampler=sampler, study_name=name, direction="maximize", load_if_exists=True
            )
        )
        self._check(dict(subject))

    def trials(self) -> list[FrozenTrial]:
        """All trials as they are now."""
        return self.patiently(lambda: self.study.get_trials(deepcopy=False))

    def ask(self) -> Trial:
        """A new trial, for the sampler to fill."""
        return self.patiently(self.study.ask)

    def claim(self, candidate: Candidate, question: Question) -> int | None:
        """Take a question for this worker. Returns: the trial's number; None where another worker holds it."""
        import optuna

        multipliers, mark = candidate.multipliers._asdict(), uuid.uuid4().hex
        held = optuna.distributions.FloatDistribution(0.0, WIDEST)
        template = optuna.trial.create_trial(
            state=optuna.trial.TrialState.RUNNING,
            params=multipliers,
            distributions=dict.fromkeys(multipliers, held),
            user_attrs={QUESTION: list(question), MARK: mark, "name": candidate.name},
        )
        self.patiently(lambda: self.study.add_trial(template))
        claims = [each for each in self.trials() if holds(each) == question]
        own = next((each.number for each in claims if each.user_attrs.get(MARK) == mark), None)
        if own is None or claims[0].number != own:
            if own is not None:
                self.give_way(own)
            return None
        return own

    def answer(self, number: int, entries: Sequence[Entry], score: float) -> bool:
        """Answer a trial. score: NaN for one that failed. Returns: whether it counts, for this worker still held it."""
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        failures = [each.failure for each in entries if each.score is None]

        def tell() -> None:
            self._set(number, ANSWERS, msgspec.json.encode(entries).decode())
            if failures:
                self._set(number, FAILURE, failures[0])
                self.study.tell(number, state=TrialState.FAIL)
            else:
                self.study.tell(number, score)

        try:
            self.patiently(tell)
        except (UpdateFinishedTrialError, ValueError):  # somebody took this worker for dead, or a retry was heard twice
            return answers(self.trials()[number]) == list(entries)
        return True

    def describe(self, number: int, candidate: Candidate) -> None:
        """Say what a trial asks about, for the dashboard."""
        from optuna.exceptions import UpdateFinishedTrialError

        for name, value in (("key", candidate.key), ("name", candidate.name)):
            with contextlib.suppress(UpdateFinishedTrialError):
                self.patiently(lambda name=name, value=value: self._set(number, name, value))

    @contextmanager
    def held(self, number: int) -> Generator[None]:
        """Show that this worker is alive while it answers a trial; let go of it where that is given up."""
        from optuna.trial import TrialState

        try:
            with beating(lambda beat: self._set(number, BEAT, beat), self._every):
                yield
        except BaseException:
            with contextlib.suppress(Exception):  # the storage may be away; then the others will see that it is dead
                self.study.tell(number, state=TrialState.FAIL)
            raise

    def give_way(self, number: int) -> None:
        """Let go of a trial that another worker has."""
        self._end(number, "PRUNED")

    def fail(self, number: int) -> bool:
        """Let go of a trial that was not answered. Returns: whether nobody was faster."""
        return self._end(number, "FAIL")

    def free_dead(self) -> int:
        """Let go of the trials whose workers have died; what a sampler chose for one is put first in line again.

        Returns: how many there were.
        """
        running = {each.number: each for each in self.trials() if each.state.name == "RUNNING"}
        dead = self._watch.dead((number, int(each.user_attrs.get(BEAT, 0))) for number, each in running.items())
        for number in dead:
            chosen = running[number].params
            if self.fail(number) and chosen and QUESTION not in running[number].user_attrs:
                self.patiently(lambda chosen=chosen: self.study.enqueue_trial(chosen))
        return len(dead)

    def _end(self, number: int, state: str) -> bool:
        from optuna.exceptions import UpdateFinishedTrialError
        from optuna.trial import TrialState

        try:
            self.patiently(lambda: self.study.tell(number, state=TrialState[state]))
        except (UpdateFinishedTrialError, ValueError):  # another was faster
            return False
        return True

    def _set(self, number: int, name: str, value: object) -> None:
        trial = self.study.get_trials(deepcopy=False)[number]
        # Optuna has no public way to a trial's attributes by its number.
        self.study._storage.set_trial_user_attr(trial._trial_id, name, value)

    def _check(self, subject: dict[str, str]) -> None:
        found = self.patiently(lambda: self.study.user_attrs).get(SUBJECT)
        if found is None:
            self.patiently(lambda: self.study.set_user_attr(SUBJECT, subject))
            return
        for name in (*subject, *found):
            if subject.get(name) != found.get(name):
                raise SearchError(
                    f"--storage {self.patiently.where}: its study {self.name!r} is of another search: {name} is "
                    f"{found.get(name)!r} there and {subject.get(name)!r} here; give --study another name, or ask for "
                    f"the same."
                )


def holds(trial: FrozenTrial) -> Question | None:
    """The question that a trial answers or is about to; None of one that has given way or whose worker died."""
    asked = trial.user_attrs.get(QUESTION)
    if asked is None or trial.state.name == "PRUNED" or (trial.state.name == "FAIL" and not answers(trial)):
        return None
    return Question(*asked)


def answers(trial: FrozenTrial) -> list[Entry]:
    """What a trial says that was answered, with a score or with a failure; empty of any other."""
    told, state = trial.user_attrs.get(ANSWERS), trial.state.name
    ended = state == "COMPLETE" or (state == "FAIL" and FAILURE in trial.user_attrs)
    return msgspec.json.decode(told, type=list[Entry]) if ended and told is not None else []


def multipliers(trial: FrozenTrial) -> Multipliers:
    """Of the network that a trial asks about."""
    return Multipliers(*[trial.params[name] for name in Multipliers._fields])
