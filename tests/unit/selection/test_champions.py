from __future__ import annotations

import itertools

import pytest

from podium.errors import InputError
from podium.selection.champions import leaderboard, rank


def champion(study, model, metric):
    return leaderboard([study], [model], metric, 1)[0][0]


def test_champion_carries_evidence_of_study_and_refit(study, model):
    entry = champion(study(), model(), "macro_f1")
    assert (entry.entrant, entry.trial, entry.trials) == ("tiny", 1, 2)
    assert (entry.model_key, entry.model_digest) == ("key-tiny", "digest-tiny")
    assert entry.test.value == 0.88
    assert entry.cv_std == pytest.approx(0.04 / 2**0.5)
    assert entry.size_mb == 17.0


def test_ranked_by_test_score(study, model):
    studies = [study("tiny"), study("mini"), study("base")]
    models = [model("mini", 0.92), model("base", 0.85), model("tiny", 0.88)]
    entries, warnings = leaderboard(studies, models, "macro_f1", min_trials=1)
    assert [entry.entrant for entry in entries] == ["mini", "tiny", "base"]
    assert warnings == ()


def test_ties_are_the_same_in_any_order(entry):
    entries = [entry("b", 0.9, 10), entry("a", 0.9, 10), entry("c", 0.9, 5), entry("d", 0.91, 99)]
    for order in itertools.permutations(entries):
        assert [one.entrant for one in rank(order)] == ["d", "c", "a", "b"]


def test_too_few_finished_trials_leave_a_entrant_out_with_a_warning(study, model):
    studies = [study("tiny"), study("mini", scores=(0.7, 0.9, 0.8))]
    entries, warnings = leaderboard(studies, [model("tiny", 0.99), model("mini")], "macro_f1", min_trials=3)
    assert [entry.entrant for entry in entries] == ["mini"]
    assert "tiny finished 2 of the 3 trials" in warnings[0]


def test_what_a_refit_noted_is_a_warning(study, model):
    noted = model().model_copy(update={"details": {"training": {"notes": ["it is at chance"]}}})
    assert leaderboard([study()], [noted], "macro_f1", min_trials=1)[1] == ("tiny: it is at chance",)


def test_a_refit_of_another_trial_is_refused(study, model):
    with pytest.raises(InputError, match="trial 1"):
        champion(study(), model(trial=0), "macro_f1")


@pytest.mark.parametrize(
    ("studies", "models"), [(("tiny",), ("mini",)), (("tiny", "mini"), ("tiny",)), (("tiny",), ("tiny", "tiny"))]
)
def test_studies_and_models_must_pair_up(study, model, studies, models):
    with pytest.raises(InputError, match="refit of its best trial"):
        leaderboard([study(name) for name in studies], [model(name) for name in models], "macro_f1", 1)


def test_the_best_trial_is_held_against_its_runner_up(study, model):
    given = study(scores=(0.7, 0.9, None))
    first = given.trials[0].model_copy(update={"fold_scores": {"0": 0.71, "1": 0.69}})
    given = given.model_copy(update={"trials": (first, *given.trials[1:])})
    (entry,), _ = leaderboard([given], [model()], "macro_f1", 1)
    assert (entry.runner_up.challenger, entry.runner_up.reference) == ("trial 1", "trial 0")
    assert entry.runner_up.difference.value == pytest.approx(0.2)


@pytest.mark.parametrize("change", [{"status": "pruned"}, {"status": "failed"}, {"fold_scores": {"0": 0.99}}])
def test_a_trial_that_did_not_finish_on_every_fold_is_no_champion(study, model, change):
    """A single lucky fold must not win."""
    given = study()
    trials = tuple(trial.model_copy(update=change) if trial.number == 1 else trial for trial in given.trials)
    with pytest.raises(InputError, match="finished on all 2 folds"):
        champion(given.model_copy(update={"trials": trials}), model(), "macro_f1")


@pytest.mark.parametrize("change", [{"task": "ner"}, {"labels": ("x", "z")}])
def test_models_for_other_tasks_or_labels_are_not_compared(study, model, change):
    models = [model("tiny"), model("mini").model_copy(update=change)]
    with pytest.raises(InputError, match=r"same task and labels.*mini"):
        leaderboard([study("tiny"), study("mini")], models, "macro_f1", 1)


def test_the_order_of_labels_does_not_matter(study, model):
    models = [model("tiny"), model("mini").model_copy(update={"labels": ("y", "x")})]
    assert len(leaderboard([study("tiny"), study("mini")], models, "macro_f1", 1)[0]) == 2
