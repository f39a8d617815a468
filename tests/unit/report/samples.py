"""Records of a made-up but complete run, for the tests of the report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from podium.config.benchmark import SelectionConfig
from podium.config.parameters import CategoricalParameter, FloatParameter
from podium.config.schema import DatasetConfig, EntrantConfig, PodiumConfig
from podium.config.search import HpoConfig
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import all_metrics, details
from podium.evaluation.predictions import Predictions
from podium.records import (
    ArtifactRef,
    Baseline,
    BaselineEntry,
    BaselineRecord,
    BenchmarkRecord,
    CurvePoint,
    CurveRecord,
    CurveValue,
    DataRecord,
    DecisionRecord,
    Evidence,
    FailedEntrant,
    Incumbent,
    Interval,
    LabelCheck,
    LabelIssue,
    LabelPair,
    LabelReview,
    ModelRecord,
    PlanRecord,
    ProfileRecord,
    RunRecord,
    SelectionRecord,
    StudyRecord,
    TrialRecord,
    VariantScore,
)
from podium.report import ReportInputs
from podium.selection.champions import fold_test, leaderboard
from podium.selection.comparison import compare, compare_with_best
from podium.selection.decision import judge
from podium.selection.winner import contenders, pareto_fronts
from podium.stages.steps import title_of
from tests.unit.report.sample_keys import key
from tests.unit.report.sample_measurements import benchmark

LABELS = ("business", "entertainment", "politics", "sport", "tech")
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ACCURACY = {"minilm": 0.955, "bert-tiny": 0.88, "deberta-v3-small": 0.96}


def sample(
    task: str = "text-classification",
    labels: tuple[str, ...] | None = None,
    entrants: tuple[str, ...] = ("minilm", "bert-tiny"),
    trials: int = 8,
    linear: float = 0.91,
    **changes: Any,
) -> ReportInputs:
    """Inputs of a report; `linear` is how often that baseline is right, `changes` replace records by name."""
    labels = labels or (LABELS if task == "text-classification" else TAGS)
    metric = "macro_f1" if task == "text-classification" else "f1"
    predictions = {
        name: _predictions(task, labels, ACCURACY.get(name, 0.9), seed) for seed, name in enumerate(entrants)
    }
    studies = tuple(_study(name, metric, trials, ACCURACY.get(name, 0.9)) for name in entrants)
    models = tuple(_model(study, predictions[study.entrant]) for study in studies)
    entries, warnings = leaderboard(studies, models, metric, min_trials=1)
    budget: dict[str, Any] = {"metric": metric, "confidence": 0.95, "resamples": 500, "seed": 13}
    baselines = {"linear": _predictions(task, labels, linear, 7), "majority": _predictions(task, labels, 0.0, 8)}
    scored = {name: bootstrap_interval(found, metric, 0.95, 500, 13) for name, found in baselines.items()}
    folds = {study.entrant: study.best_trial.fold_scores for study in studies}
    best, *others = [(one.entrant, folds[one.entrant]) for one in entries]
    selection = SelectionRecord(
        key=key("selection"),
        parents={f"refit_{model.entrant}": model.key for model in models},
        mlflow_run_id=key("run-selection")[:32],
        seconds=0.4,
        metric=metric,
        rows=425,
        leaderboard=entries,
        comparisons=compare_with_best(entries, predictions, **budget),
        baselines=tuple(BaselineEntry(name=name, test=scored[name], seconds=2.3) for name in ("linear", "majority")),
        baseline_comparisons=tuple(
            compare((entry.entrant, predictions[entry.entrant]), item, **budget)
            for entry in entries
            for item in baselines.items()
        ),
        fold_tests=tuple(test for one in others if (test := fold_test(one, best, confidence=0.95, data_fraction=1.0))),
        warnings=warnings,
        labels=_review(labels, entrants),
        artifacts={"label_issues": ArtifactRef(name="label_issues", digest=key("issues"), files=1, size_bytes=900)},
    )
    measured = benchmark(models)
    fields: dict[str, Any] = {
        "run": _run(task, entrants),
        "data": _data(task, labels),
        "baseline": BaselineRecord(
            key=key("baseline"),
            parents={"data": key("data")},
            mlflow_run_id=key("run-baseline")[:32],
            seconds=4.6,
            baselines=tuple(
                Baseline(name=name, metrics={metric: scored[name]}, seconds=2.3) for name in ("linear", "majority")
            ),
        ),
        "plan": PlanRecord(key=key("plan"), parents={"data": key("data")}, entrants=entrants),
        "studies": studies,
        "models": models,
        "selection": selection,
        "benchmark": measured,
        "decision": _decision(selection, measured, predictions, baselines, _predictions(task, labels, 0.85, 9), budget),
        "curve": _curve(metric, entries[0].entrant),
        "profile": ProfileRecord(key=key("profile"), status="skipped", code="OFF", reason="profile.tools is empty"),
        "environment": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "podium": "0.1.0"},
        "command": "podium run preset=quickstart output=out",
    }
    fields |= changes
    made = (fields["data"], fields["plan"], fields["baseline"], *fields["studies"], *fields["models"])
    chosen = (fields["selection"], fields["benchmark"], fields["decision"], fields["curve"], fields["profile"])
    steps = {title_of(record): record for record in (*made, *chosen)}
    failed = fields.get("failed", ())
    return ReportInputs(fields["run"], steps, fields["environment"], fields["command"], failed)


def failed_entrant(entrant: str, **changes: str) -> FailedEntrant:
    """What the steps of an entrant hand on that failed."""
    fields = {
        "step": "hpo",
        "reason": "OutOfMemory",
        "error": "a training must fit into memory, but it ran out; lower training.batch_size\nlog: training.log",
        "log": "/runs/1/steps/hpo-x/log.txt",
        **changes,
    }
    return FailedEntrant(entrant=entrant, **fields)


def _review(labels: tuple[str, ...], entrants: tuple[str, ...]) -> LabelReview:
    one, two, three = labels[:3]
    pairs = ((one, two, 14), (three, one, 9))
    return LabelReview(
        status="ok",
        entrants=entrants,
        rows=1702,
        suspected=23,
        pairs=tuple(LabelPair(given=given, suggested=suggested, rows=rows) for given, suggested, rows in pairs),
        clearest=tuple(
            LabelIssue(
                row=f"bbc.csv:{17 * number + 2}",
                given=one,
                suggested=two,
                given_probability=0.01 * number,
                suggested_probability=0.97 - 0.02 * number,
                agreeing=entrants[:1],
            )
            for number in range(23)
        ),
        check=LabelCheck(changed=340, found=272, suspected=400),
    )


def models_of(inputs: ReportInputs) -> tuple[ModelRecord, ...]:
    return tuple(record for record in inputs.steps.values() if isinstance(record, ModelRecord))


def _run(task: str, entrants: tuple[str, ...]) -> RunRecord:
    config = PodiumConfig(
        dataset=DatasetConfig(name="bbc-news", path="pkg:corpus/data", task=task, licence="research use"),
        entrants={name: EntrantConfig(path=f"pkg:{name}/model") for name in entrants},
        hpo=HpoConfig(
            space={
                "learning_rate": FloatParameter(low=1e-5, high=1e-3, log=True),
                "batch_size": CategoricalParameter(choices=(8, 16, 32)),
                "warmup_ratio": FloatParameter(low=0.0, high=0.2),
            }
        ),
    )
    return RunRecord(run_id="20260304-050600-a1b2", config=config, created_at=WHEN, mlflow_run_id=key("run")[:32])


def _data(task: str, labels: tuple[str, ...]) -> DataRecord:
    counts = {label: 380 + 20 * number for number, label in enumerate(labels)}
    shares = {"train": 0.7, "validation": 0.1, "test": 0.2}
    return DataRecord(
        key=key("data"),
        mlflow_run_id=key("run-data")[:32],
        seconds=2.1,
        artifacts={"data": ArtifactRef(name="data", digest=key("data-artifact"), files=13, size_bytes=5_100_000)},
        name="bbc-news",
        task=task,
        labels=labels,
        rows={"train": 1489, "validation": 213, "test": 425},
        label_counts={split: {label: int(n * share) for label, n in counts.items()} for split, share in shares.items()},
        folds=3,
        read_rows=2225,
        duplicates=97,
        rejected=1,
        rejected_examples=("sport/199.txt: not UTF-8 at byte 1,337 (0xa3)",),
        sources={f"{labels[-1]}/{number:03}.txt": key(f"file-{number}") for number in range(34)},
    )


def _predictions(task: str, labels: tuple[str, ...], accuracy: float, seed: int) -> Predictions:
    source, noise = np.random.default_rng(1), np.random.default_rng(seed + 2)
    ids = tuple(f"row-{number}" for number in range(425))
    if task == "ner":
        truth = [[labels[tag] for tag in source.integers(len(labels), size=12)] for _ in ids]
        predicted = [[tag if noise.random() < accuracy else "O" for tag in tags] for tags in truth]
        return Predictions(task, labels, ids, truth, predicted)
    classes = source.integers(len(labels), size=425)
    wrong = noise.integers(len(labels), size=425)
    return Predictions(task, labels, ids, classes, np.where(noise.random(425) < accuracy, classes, wrong))


def _study(entrant: str, metric: str, count: int, level: float) -> StudyRecord:
    noise = np.random.default_rng(len(entrant))
    found = [_trial(number, level - 0.25 * noise.random() ** 2, noise) for number in range(count)]
    failed = {"status": "failed", "error": "OutOfMemory: 3.2 GB needed, 2.0 GB free", "score": None, "fold_scores": {}}
    pruned = {"status": "pruned", "error": "0.7 is below 0.9", "score": 0.7, "fold_scores": {"0": 0.7}}
    changes = {2: failed, 5: pruned}
    trials = tuple(trial.model_copy(update=changes.get(trial.number, {})) for trial in found)
    best = max((trial for trial in trials if trial.status == "succeeded"), key=lambda trial: trial.score or 0)
    return StudyRecord(
        key=key(f"study-{entrant}"),
        parents={"data": key("data")},
        mlflow_run_id=key(f"run-study-{entrant}")[:32],
        seconds=71.0 * count,
        family=key("family"),
        entrant=entrant,
        metric=metric,
        direction="maximize",
        budget=count,
        trials=trials,
        best=best.number,
    )


def _trial(number: int, score: float, noise: np.random.Generator) -> TrialRecord:
    folds = {str(fold): float(score + shift) for fold, shift in enumerate(noise.normal(0, 0.012, size=3))}
    return TrialRecord(
        number=number,
        params={
            "learning_rate": float(10 ** noise.uniform(-5, -3)),
            "batch_size": int(noise.choice([8, 16, 32])),
            "warmup_ratio": float(noise.uniform(0, 0.2)),
        },
        status="succeeded",
        fold_scores=folds,
        fold_seconds=dict.fromkeys(folds, 23.0 + number),
        score=float(np.mean(list(folds.values()))),
        started_at=WHEN,
        finished_at=WHEN,
    )


def _model(study: StudyRecord, predictions: Predictions) -> ModelRecord:
    name = study.entrant
    size = 17_600_000 if name == "bert-tiny" else 90_900_000
    return ModelRecord(
        key=key(f"refit-{name}"),
        parents={"data": key("data"), "study": study.key},
        artifacts={
            "model": ArtifactRef(name="model", digest=key(f"model-{name}"), files=6, size_bytes=size),
            "predictions": ArtifactRef(name="predictions", digest=key(f"held-{name}"), files=1, size_bytes=20_000),
        },
        mlflow_run_id=key(f"run-refit-{name}")[:32],
        seconds=48.3,
        entrant=name,
        task=predictions.task,
        trial=study.best,
        params=study.best_trial.params,
        labels=predictions.labels,
        parameters=size // 4,
        cv_score=study.best_trial.score or 0.0,
        metric=study.metric,
        metrics={item: bootstrap_interval(predictions, item, 0.95, 500, 13) for item in all_metrics(predictions)},
        details=details(predictions),
    )


def _decision(
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    predictions: dict[str, Predictions],
    baselines: dict[str, Predictions],
    incumbent: Predictions,
    budget: dict[str, Any],
) -> DecisionRecord:
    """What follows from the evidence, against an incumbent that scores lower."""
    champion = Incumbent(
        name="bbc-news",
        version="3",
        model_digest=key("old-model"),
        model_key=key("old-refit"),
        metric=selection.metric,
        score=0.9234,
    )
    scores = [
        VariantScore(entrant=one.entrant, variant=one.variant, test=one.check.score)
        for one in benchmark.variants
        if one.check and one.status == "ok"
    ]
    evidence = Evidence(
        metric=selection.metric,
        rows=selection.rows,
        policy=SelectionConfig(),
        leaderboard=selection.leaderboard,
        comparisons=(),
        baseline_comparisons=(),
        measurements=benchmark.measurements,
        variant_scores=tuple(scores),
        incumbent=champion,
        incumbent_measurement=benchmark.measurements[-1],
    )
    best, *others = [(one.name, predictions[one.entry.entrant]) for one in contenders(evidence)]
    against_best = tuple(compare(one, best, **budget) for one in others)
    evidence = evidence.model_copy(update={"comparisons": against_best})
    chosen = judge(evidence).choice.winner
    assert chosen and chosen.measurement
    name = chosen.entry.entrant
    own = (chosen.name, predictions[name])
    evidence = evidence.model_copy(
        update={
            "against_incumbent": compare(own, ("incumbent bbc-news v3", incumbent), **budget),
            "baseline_comparisons": tuple(compare(own, item, **budget) for item in baselines.items()),
        }
    )
    found = judge(evidence)
    return DecisionRecord(
        key=key("decision"),
        parents={"selection": key("selection"), "benchmark": key("benchmark")},
        mlflow_run_id=key("run-decision")[:32],
        seconds=1.2,
        verdict=found.verdict,
        winner=name,
        winner_variant=chosen.measurement.variant,
        winner_model_key=chosen.entry.model_key,
        reasons=found.reasons,
        incumbent=champion,
        registered={"name": "bbc-news", "version": "4", "alias": "champion"},
        pareto=pareto_fronts(found.choice.candidates),
        evidence=evidence,
    )


def _curve(metric: str, winner: str) -> CurveRecord:
    """A learning curve that flattens."""

    def expected(rows: float, width: float = 0.004) -> Interval:
        value = 0.97 - 1.5 * rows**-0.7
        return Interval(value=value, low=value - width, high=value + width, confidence=0.95, method="power law")

    points = [
        CurvePoint(
            fraction=fraction,
            rows=1135 * fraction,
            scores=tuple(expected(1135 * fraction).value + shift for shift in (-0.012, 0.002, 0.011)),
            seconds=70 * fraction,
            of_study=fraction == 1.0,
        )
        for fraction in (0.1, 0.2, 0.4, 0.7, 1.0)
    ]
    return CurveRecord(
        key=key("curve"),
        parents={"data": key("data"), "decision": key("decision")},
        mlflow_run_id=key("run-curve")[:32],
        seconds=131.0,
        status="ok",
        winner=winner,
        metric=metric,
        rows=1702,
        points=tuple(points),
        now=expected(1702, 0.009),
        doubled=expected(3404, 0.011),
        gain=Interval(value=0.0031, low=0.0009, high=0.0071, confidence=0.95, method="power law"),
        line=tuple(CurveValue(rows=113 * 30 ** (n / 40), score=expected(113 * 30 ** (n / 40))) for n in range(41)),
    )
