"""What every search algorithm does."""

from __future__ import annotations

import itertools
import json
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from podium.config.search import Algorithm
from podium.errors import ConfigError
from podium.hpo.experiment import Experiment, Space
from podium.hpo.suggest import Suggester, suggester_for
from podium.records import Report, TrialRecord

from ..support import experiment, score_of
from ..test_experiment import spaces

Fate = Callable[[int], str]
"""How a trial ends, by its number."""


def ended(number: int, params: dict[str, Any], labels: Any = None, status: str = "succeeded") -> TrialRecord:
    """A trial that ended; its score follows from its params."""
    score = 0.0
    for name, value in sorted(params.items()):
        score += len(name) * (len(str(value)) if isinstance(value, str) else float(value)) / 10
    reports = (Report(value=score / 2), Report(value=score)) if status == "pruned" else ()
    return TrialRecord(
        number=number,
        params=params,
        labels=dict(labels or {}),
        status=status,  # type: ignore[arg-type]
        score=None if status == "failed" else score,
        reports=reports,
    )


def fates(number: int) -> str:
    """Some trials fail, some are pruned."""
    return "failed" if number % 7 == 3 else "pruned" if number % 5 == 2 else "succeeded"


def run(
    suggester: Suggester, count: int, fate: Fate = lambda number: "succeeded", known: Sequence[TrialRecord] = ()
) -> list[TrialRecord]:
    """Run trials one after the other, from the first number that is not known."""
    trials = list(known)
    for number in range(len(trials), count):
        suggestion = suggester.suggest(number)
        if suggestion is None:
            break
        trials.append(ended(number, dict(suggestion.params), suggestion.labels, fate(number)))
        suggester.tell(trials[-1])
    return trials


class SuggesterContract:
    """Subclasses name an algorithm, and where it cannot search every space those that it can."""

    algorithm: Algorithm
    spaces: st.SearchStrategy[Space] = spaces
    learns = True
    count, steps, examples, few, prior = 24, 50, 15, 8, 40

    def experiment(self, **changes: Any) -> Experiment:
        return experiment(algorithm=self.algorithm, **changes)

    def known(self, trials: Sequence[TrialRecord] = (), **changes: Any) -> Suggester:
        """As after a restart: the records come from JSON."""
        return suggester_for(
            self.experiment(**changes), [TrialRecord.model_validate_json(trial.model_dump_json()) for trial in trials]
        )

    def test_suggestions_lie_inside_any_space(self) -> None:
        @given(space=self.spaces, seed=st.integers())
        @settings(max_examples=self.examples, deadline=None)
        def check(space: Space, seed: int) -> None:
            try:
                study = self.experiment(space=space, seed=seed)
            except ValidationError:
                return
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                for trial in run(suggester_for(study, ()), 5, fates):
                    assert study.space.normalise(trial.params) == trial.params

        check()

    def test_a_study_rebuilt_at_any_trial_goes_on_as_if_undisturbed(self) -> None:
        trials = run(self.known(), self.count, fates)
        for cut in range(0, len(trials), 3):
            assert run(self.known(trials[:cut]), min(cut + 2, len(trials)), fates, trials[:cut]) == trials[: cut + 2]

    def test_a_study_rebuilt_while_trials_run_goes_on_as_if_undisturbed(self) -> None:
        """Trials end in any order; those that were cut off run on, and end in the order in which they would have."""
        chance = random.Random(self.few)
        live, records, running = self.known(), dict[int, TrialRecord](), list[int]()
        for _ in range(self.steps):
            rebuilt = self.known([records[number] for number in sorted(records)])
            suggestion = live.suggest(len(records)) if len(running) < 4 else None
            if len(running) < 4:
                assert rebuilt.suggest(len(records)) == suggestion
            if suggestion is not None:
                number = len(records)
                labels = dict(suggestion.labels)
                records[number] = TrialRecord(number=number, params=suggestion.params, labels=labels, status="running")
                running.append(number)
            elif not running:
                break
            if len(running) == 4 or suggestion is None or chance.random() < 0.3:
                number = running.pop(chance.randrange(len(running)))
                records[number] = ended(number, records[number].params, records[number].labels, fates(number))
                live.tell(records[number])
        assert len(records) > self.steps // 6

    def test_the_order_of_telling_does_not_matter(self) -> None:
        forwards, backwards = self.known(), self.known()
        first = [forwards.suggest(number) for number in range(4)]
        assert first == [backwards.suggest(number) for number in range(4)]
        trials = [ended(n, dict(s.params), s.labels, fates(n)) for n, s in enumerate(first) if s is not None]
        for trial in trials:
            forwards.tell(trial)
        for trial in reversed(trials):
            backwards.tell(trial)
        assert [forwards.suggest(n) for n in range(4, self.few)] == [backwards.suggest(n) for n in range(4, self.few)]

    def test_the_seed_decides(self) -> None:
        one, again, other = (run(self.known(seed=seed), self.few) for seed in (1, 1, 2))
        assert one == again
        assert one != other

    def test_trials_differ(self) -> None:
        live = self.known(parallel_trials=9)
        found = itertools.takewhile(lambda suggestion: suggestion is not None, (live.suggest(n) for n in range(9)))
        params = [json.dumps(suggestion.params) for suggestion in found if suggestion is not None]
        assert len(set(params)) == len(params) > 5

    def test_a_study_of_which_every_trial_fails_goes_on(self) -> None:
        trials = run(self.known(), 20, lambda number: "failed")
        assert len({json.dumps(trial.params) for trial in trials}) > 15

    def test_pruned_trials_without_a_report_are_borne(self) -> None:
        trials = run(self.known(), min(12, self.count), fates)
        bare = [t.model_copy(update={"score": None, "reports": ()}) if t.status == "pruned" else t for t in trials]
        assert self.known(bare).suggest(len(bare)) is not None

    def test_a_warm_start_is_learnt_from_or_refused(self) -> None:
        space = self.experiment().space
        prior = [
            TrialRecord(number=n, params=t.params, status="succeeded", score=score_of(t.params))
            for n, t in enumerate(run(suggester_for(experiment(space=space), ()), self.prior))
        ]
        if not self.learns:
            with pytest.raises(ConfigError, match=r"a warm start is for algorithms that learn .* but got"):
                suggester_for(self.experiment(), (), prior)
            return
        outside = prior[0].model_copy(update={"params": {"elsewhere": 1}})
        warm = suggester_for(self.experiment(), (), [*prior, outside])
        first = [warm.suggest(number) for number in range(self.few)]
        assert first != [self.known().suggest(number) for number in range(self.few)]
        again = suggester_for(self.experiment(), (), prior)
        assert first == [again.suggest(number) for number in range(self.few)]
        scores = [score_of(suggestion.params) for suggestion in first if suggestion is not None]
        assert sum(scores) / self.few > sum(score_of(trial.params) for trial in prior) / self.prior
