from __future__ import annotations

import pickle
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from statistics import fmean

import pytest

from podium.config.schema import TrainingConfig
from podium.errors import ConfigError, NonFiniteLoss, OutOfMemory, StoreError
from podium.evaluation.predictions import FILE
from podium.hpo.ledger import Claim
from podium.hpo.trial import CrossValidationTrial
from podium.records import Observed, Report, StoppingRule
from podium.training.launch import TrainingResult, TrainingSpec, fold_predictions
from podium.training.trainer import Evaluation

from .support import file_ledger

PARAMS = {"learning_rate": 5e-4, "batch_size": 8}


def fold_result(score: float) -> TrainingResult:
    metrics = {"macro_f1": score, "accuracy": score + 0.01}
    return TrainingResult(metrics=metrics, epoch=1.5, steps=9, seconds=2.0, samples_per_second=80.0)


class Trainings:
    """Stands in for the folds' trainings: remembers what it was asked for, and fails where told to.

    Every fold has one evaluation half-way, a tenth below its score, when the spec evaluates epochs. `order` is that in
    which folds end.
    """

    def __init__(self, scores: dict[int, float], error: Exception | None = None, order: Sequence[int] = ()) -> None:
        self.scores, self.error, self.order = scores, error, order
        self.predictions = False
        self.specs: list[TrainingSpec] = []
        self.run: list[int] = []

    def __call__(
        self,
        spec: TrainingSpec,
        folds: int,
        done: Collection[int],
        on_fold: Callable[[int, TrainingResult], None],
        on_evaluation: Callable[[int, Evaluation, float], None],
        at_once: int,
    ) -> None:
        self.specs.append(spec)
        spec.output.mkdir(parents=True, exist_ok=True)
        for fold in self.order or range(folds):
            if fold in done:
                continue
            if fold not in self.scores:
                assert self.error is not None
                raise self.error
            if spec.config.evaluations_per_epoch is not None:
                half = fold_result(round(self.scores[fold] - 0.1, 6)).metrics
                on_evaluation(fold, Evaluation(epoch=1.5, step=5, metrics=half), 0.5)
            self.run.append(fold)
            if self.predictions:
                kept = fold_predictions(spec.output, fold)
                kept.mkdir(parents=True)
                (kept / FILE).write_bytes(b"fold %d" % fold)
            on_fold(fold, fold_result(self.scores[fold]))


@pytest.fixture
def trial(tmp_path: Path) -> CrossValidationTrial:
    spec = TrainingSpec(
        task="text-classification",
        labels=("a", "b"),
        data=tmp_path / "data",
        backbone=tmp_path / "backbone",
        config=TrainingConfig(epochs=3, learning_rate=1e-4),
        metric="macro_f1",
        seed=13,
        output=tmp_path / "work",
        cache=tmp_path / "cache",
        context={"entrant": "tiny"},
    )
    return CrossValidationTrial(spec, folds=3)


def use(trainings: Trainings, monkeypatch: pytest.MonkeyPatch) -> Trainings:
    monkeypatch.setattr("podium.training.launch.cross_validate", trainings)
    return trainings


def test_params_reach_the_training_and_folds_the_ledger(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings({0: 0.5, 1: 0.6, 2: 0.7}), monkeypatch)
    ledger = file_ledger(tmp_path)
    assert trial(ledger.begin(4, PARAMS), ledger).score == pytest.approx(0.6)
    (spec,) = trainings.specs
    assert spec.config == TrainingConfig(epochs=3, learning_rate=5e-4, batch_size=8)
    assert spec.context == {"entrant": "tiny", "number": 4}
    assert spec.output == tmp_path / "work" / "trial-000004"
    assert not spec.output.exists()
    (record,) = ledger.trials()
    assert record.fold_scores == {"0": 0.5, "1": 0.6, "2": 0.7}
    assert record.fold_metrics["1"] == {"macro_f1": 0.6, "accuracy": 0.61, "epoch": 1.5}
    assert record.fold_seconds == {"0": 2.0, "1": 2.0, "2": 2.0}


def test_a_continued_trial_runs_the_folds_it_lacks(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = file_ledger(tmp_path)
    ledger.fold_finished(ledger.begin(0, PARAMS), 1, 0.9, {}, 1.0)
    trainings = use(Trainings({0: 0.5, 2: 0.7}), monkeypatch)
    assert trial(ledger.take_over(0), ledger).score == pytest.approx(0.7)
    assert trainings.run == [0, 2]


def test_predictions_of_all_folds_survive_a_trial_that_another_process_continues(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, trainings = file_ledger(tmp_path), use(Trainings({0: 0.5}, StoreError("killed")), monkeypatch)
    trainings.predictions = True
    with pytest.raises(StoreError):
        trial(ledger.begin(0, PARAMS), ledger)
    shutil.rmtree(trainings.specs[0].output)  # another machine
    use(Trainings({1: 0.6, 2: 0.7}, order=(2, 1)), monkeypatch).predictions = True
    trial(ledger.take_over(0), ledger)
    kept = file_ledger(tmp_path).predictions(ledger.trials()[0])
    assert kept == {0: b"fold 0", 1: b"fold 1", 2: b"fold 2"}


@pytest.mark.parametrize("error", [OutOfMemory("full"), NonFiniteLoss("the loss is nan")])
def test_a_failed_trial_leaves_its_folds_and_no_files(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    trainings = use(Trainings({0: 0.5}, error), monkeypatch)
    ledger = file_ledger(tmp_path)
    with pytest.raises(type(error)):
        trial(ledger.begin(0, PARAMS), ledger)
    assert ledger.trials()[0].fold_scores == {"0": 0.5}
    assert not trainings.specs[0].output.exists()


def test_an_interrupted_trial_keeps_its_checkpoints(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings({0: 0.5}, StoreError("the disk is full")), monkeypatch)
    ledger = file_ledger(tmp_path)
    with pytest.raises(StoreError, match="the disk is full"):
        trial(ledger.begin(0, PARAMS), ledger)
    assert trainings.specs[0].output.exists()


def median(thresholds: Mapping[float, float]) -> StoppingRule:
    return StoppingRule(
        algorithm="median", direction="maximize", compared="latest", point="progress", thresholds=dict(thresholds)
    )


ALL_REPORTS = (
    Report(value=0.4, fold=0, epoch=1.5, progress=0.5),
    Report(value=0.5, fold=0, progress=1.0),
    Report(value=0.5, fold=1, epoch=1.5, progress=1.5),
    Report(value=0.55, fold=1, progress=2.0),
    Report(value=fmean([0.5, 0.6, 0.6]), fold=2, epoch=1.5, progress=2.5),
    Report(value=fmean([0.5, 0.6, 0.7]), fold=2, progress=3.0),
)
SCORES = {0: 0.5, 1: 0.6, 2: 0.7}


def test_evaluations_and_ends_of_folds_are_reported_as_running_means(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    claim = ledger.begin(0, PARAMS)
    result = replace(trial, early_stopping=True)(claim, ledger)
    assert trainings.specs[0].config.evaluations_per_epoch == 1
    assert ledger.trials()[0].reports == ALL_REPORTS
    assert result.metrics == {
        "macro_f1": Observed.of([fmean([0.5, 0.6, 0.7])]),
        "accuracy": Observed.of([fmean([0.5 + 0.01, 0.6 + 0.01, 0.7 + 0.01])]),
    }
    assert ledger.finish(claim, result.score, result.metrics).metrics["macro_f1"].latest == result.score


def test_without_early_stopping_no_evaluation_is_added(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    trial(ledger.begin(0, PARAMS), ledger)
    assert trainings.specs[0].config.evaluations_per_epoch is None
    assert ledger.trials()[0].reports == tuple(report for report in ALL_REPORTS if report.epoch is None)


@pytest.mark.parametrize(
    ("rule", "ran", "value", "why"),
    [
        (median({0.5: 0.45}), [], 0.4, "macro_f1 0.4000 is below 0.4500, which median asks for at epoch 1.5 of fold 0"),
        (median({1.0: 0.51}), [0], 0.5, "macro_f1 0.5000 is below 0.5100, which median asks for at the end of fold 0"),
        (median({1.25: 0.51}), [0], 0.5, "at epoch 1.5 of fold 1 (report 3)"),
        (
            StoppingRule(algorithm="medianstop", direction="maximize", compared="best", thresholds={4: 0.56}),
            [0, 1],
            0.55,
            "macro_f1 0.5500 is below 0.5600, which medianstop asks for at the end of fold 1 (report 4)",
        ),
    ],
)
def test_a_trial_that_does_worse_stops_itself(
    trial: CrossValidationTrial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    rule: StoppingRule,
    ran: list[int],
    value: float,
    why: str,
) -> None:
    trainings = use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    claim = ledger.begin(0, PARAMS, rule=rule)
    result = replace(trial, early_stopping=True)(claim, ledger)
    assert result.pruned is not None and why in result.pruned
    assert trainings.run == ran
    assert not trainings.specs[0].output.exists()
    record = ledger.prune(claim, result.pruned, result.metrics)
    assert record.score == result.score == result.metrics["macro_f1"].latest == value
    assert record.should_stop


@pytest.mark.parametrize("rule", [median({3.0: 0.9, 2.75: 0.9}), median({0.75: 0.1, 1.5: 0.5})])
def test_a_trial_that_keeps_up_or_is_done_succeeds(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: StoppingRule
) -> None:
    use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    result = replace(trial, early_stopping=True)(ledger.begin(0, PARAMS, rule=rule), ledger)
    assert (result.pruned, result.score) == (None, pytest.approx(0.6))


@pytest.mark.parametrize("done", [1, 2])
def test_a_trial_killed_on_its_way_reports_the_same_when_it_is_continued(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    ledger, stopping = file_ledger(tmp_path), replace(trial, early_stopping=True)
    use(Trainings(dict(list(SCORES.items())[:done]), StoreError("killed")), monkeypatch)
    with pytest.raises(StoreError):
        stopping(ledger.begin(0, PARAMS), ledger)
    ledger.report(Claim(ledger.trials()[0], 1), Report(value=0.3, fold=done, epoch=0.5, progress=done + 0.25))
    trainings = use(Trainings(SCORES), monkeypatch)
    stopping(ledger.take_over(0), ledger)
    assert trainings.run == list(range(done, 3))
    assert ledger.trials()[0].reports == ALL_REPORTS


def test_a_trial_killed_before_its_stop_was_written_stops_at_once(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = file_ledger(tmp_path)
    claim = ledger.begin(0, PARAMS, rule=median({1.0: 0.51}))
    metrics = fold_result(0.5).metrics
    ledger.fold_finished(claim, 0, 0.5, metrics, 2.0, [Report(value=0.5, fold=0, progress=1.0)])
    trainings = use(Trainings({}), monkeypatch)
    result = trial(ledger.take_over(0), ledger)
    assert result.pruned is not None and "at the end of fold 0" in result.pruned
    assert (result.score, result.metrics["accuracy"].latest, trainings.specs) == (0.5, 0.51, [])


def test_folds_that_end_in_any_order_are_reported_in_theirs(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings(SCORES, order=[2, 0, 1]), monkeypatch)
    ledger = file_ledger(tmp_path)
    parallel = replace(trial, early_stopping=True, parallel_folds=3)
    assert parallel(ledger.begin(0, PARAMS), ledger).score == pytest.approx(0.6)
    assert trainings.specs[0].config.evaluations_per_epoch is None, "nobody would hear of them"
    assert ledger.trials()[0].reports == tuple(report for report in ALL_REPORTS if report.epoch is None)


def test_a_rule_is_applied_to_each_of_several_reports(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings(SCORES, order=[1, 0, 2]), monkeypatch)
    ledger = file_ledger(tmp_path)
    result = replace(trial, parallel_folds=2)(ledger.begin(0, PARAMS, rule=median({1.0: 0.51, 2.0: 0.1})), ledger)
    assert trainings.run == [1, 0]
    assert result.pruned is not None and "at the end of fold 0 (report 1)" in result.pruned


KATIB_FILTER = re.compile(r"([\w|-]+)\s*=\s*([+-]?\d*(\.\d+)?([Ee][+-]?\d+)?)")


def collected(text: str, metric: str) -> list[float]:
    """What Katib's collector reads with its default filter, `pkg/metricscollector/v1beta1/common/const.go`."""
    lines = [line for line in text.splitlines() if metric in line]
    for line in lines:
        datetime.fromisoformat(line.split(" ")[0])
    return [float(m[2]) for line in lines for m in KATIB_FILTER.finditer(line) if m[1] == metric]


@pytest.mark.parametrize(("early_stopping", "values"), [(False, [0.6]), (True, [r.value for r in ALL_REPORTS])])
def test_katibs_collector_reads_what_the_trial_reported(
    trial: CrossValidationTrial,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    early_stopping: bool,
    values: list[float],
) -> None:
    use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    result = replace(trial, early_stopping=early_stopping)(ledger.begin(0, PARAMS), ledger)
    printed = "".join(capfd.readouterr())
    assert collected(printed, "macro_f1") == pytest.approx(values)
    assert collected(printed, "macro_f1")[-1] == result.score, "in full"
    assert len(collected(printed, "accuracy")) == len(values)


def test_a_pruned_trial_prints_its_last_report_once(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    replace(trial, early_stopping=True)(ledger.begin(0, PARAMS, rule=median({1.0: 0.51})), ledger)
    assert collected(capfd.readouterr().out, "macro_f1") == [0.4, 0.5]


def test_epochs_may_be_the_resource_of_hyperband(
    trial: CrossValidationTrial, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainings = use(Trainings(SCORES), monkeypatch)
    ledger = file_ledger(tmp_path)
    trial(ledger.begin(0, {"epochs": 9, "learning_rate": 1e-3}), ledger)
    assert trainings.specs[0].config.epochs == 9.0


def test_it_can_be_sent_to_a_worker(trial: CrossValidationTrial) -> None:
    assert pickle.loads(pickle.dumps(trial)) == trial


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"learning_rat": 1e-3}, "unknown key learning_rat; did you mean learning_rate"),
        ({"batch_size": 0}, "batch_size must be greater than 0, but got 0"),
    ],
)
def test_params_that_do_not_fit_the_training_are_refused(
    trial: CrossValidationTrial, params: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        trial.training_of(0, params)
