"""Records of a made-up but complete run, for the tests of the report."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np

from podium.config.schema import BackboneConfig, DatasetConfig, PodiumConfig, Task
from podium.config.search import HpoConfig, ParameterConfig
from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import all_metrics, details
from podium.evaluation.predictions import Predictions
from podium.keys import digest_bytes
from podium.records import (
    ArtifactRef,
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    Incumbent,
    Interval,
    Measurement,
    ModelRecord,
    Quantile,
    Reason,
    RunRecord,
    SelectionRecord,
    StudyRecord,
    TrialRecord,
)
from podium.report import ReportInputs
from podium.selection.champions import leaderboard
from podium.selection.comparison import compare_with_best

LABELS = ("business", "entertainment", "politics", "sport", "tech")
TAGS = ("O", "B-PER", "I-PER", "B-ORG", "I-ORG", "B-LOC", "I-LOC", "B-MISC", "I-MISC")
WHEN = datetime(2026, 3, 4, 5, 6, tzinfo=UTC)
ACCURACY = {"minilm": 0.955, "bert-tiny": 0.93, "deberta-v3-small": 0.96}


def key(name: str) -> str:
    return digest_bytes(name.encode())


def sample(
    task: Task = "text-classification",
    labels: tuple[str, ...] | None = None,
    backbones: tuple[str, ...] = ("minilm", "bert-tiny"),
    trials: int = 8,
    **changes: Any,
) -> ReportInputs:
    """Inputs of a report; `changes` replace fields of `ReportInputs`."""
    labels = labels or (LABELS if task == "text-classification" else TAGS)
    metric = "macro_f1" if task == "text-classification" else "f1"
    predictions = {
        name: _predictions(task, labels, ACCURACY.get(name, 0.9), seed) for seed, name in enumerate(backbones)
    }
    studies = tuple(_study(name, metric, trials, ACCURACY.get(name, 0.9)) for name in backbones)
    models = tuple(_model(study, predictions[study.backbone]) for study in studies)
    entries, warnings = leaderboard(studies, models, metric, min_trials=1)
    budget: dict[str, Any] = {"metric": metric, "confidence": 0.95, "resamples": 500, "seed": 13}
    selection = SelectionRecord(
        key=key("selection"),
        parents={f"refit_{model.backbone}": model.key for model in models},
        mlflow_run_id=key("run-selection")[:32],
        seconds=0.4,
        metric=metric,
        leaderboard=entries,
        comparisons=compare_with_best(entries, predictions, **budget),
        warnings=warnings,
    )
    fields: dict[str, Any] = {
        "run": _run(task, backbones),
        "data": _data(task, labels),
        "studies": studies,
        "models": models,
        "selection": selection,
        "benchmark": _benchmark(models),
        "decision": _decision(entries[0].backbone),
        "environment": {"python": "3.11.9", "torch": "2.13.0", "transformers": "5.23.0", "podium": "0.1.0"},
        "command": "podium run preset=quickstart output=out",
    }
    return ReportInputs(**{**fields, **changes})


def _run(task: Task, backbones: tuple[str, ...]) -> RunRecord:
    config = PodiumConfig(
        dataset=DatasetConfig(name="bbc-news", path="pkg:corpus/data", task=task, licence="research use"),
        backbones={name: BackboneConfig(path=f"pkg:{name}/model") for name in backbones},
        hpo=HpoConfig(
            space={
                "learning_rate": ParameterConfig(type="float", low=1e-5, high=1e-3, log=True),
                "batch_size": ParameterConfig(type="categorical", choices=(8, 16, 32)),
                "warmup_ratio": ParameterConfig(type="float", low=0.0, high=0.2),
            }
        ),
    )
    return RunRecord(run_id="20260304-050600-a1b2", config=config, created_at=WHEN, mlflow_run_id=key("run")[:32])


def _data(task: Task, labels: tuple[str, ...]) -> DataRecord:
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


def _predictions(task: Task, labels: tuple[str, ...], accuracy: float, seed: int) -> Predictions:
    source, noise = np.random.default_rng(1), np.random.default_rng(seed + 2)
    ids = tuple(f"row-{number}" for number in range(425))
    if task == "ner":
        truth = [[labels[tag] for tag in source.integers(len(labels), size=12)] for _ in ids]
        predicted = [[tag if noise.random() < accuracy else "O" for tag in tags] for tags in truth]
        return Predictions(task, labels, ids, truth, predicted)
    classes = source.integers(len(labels), size=425)
    wrong = noise.integers(len(labels), size=425)
    return Predictions(task, labels, ids, classes, np.where(noise.random(425) < accuracy, classes, wrong))


def _study(backbone: str, metric: str, count: int, level: float) -> StudyRecord:
    noise = np.random.default_rng(len(backbone))
    found = [_trial(number, level - 0.25 * noise.random() ** 2, noise) for number in range(count)]
    failed = {"status": "failed", "error": "OutOfMemory: 3.2 GB needed, 2.0 GB free", "score": None, "fold_scores": {}}
    pruned = {"status": "pruned", "error": "0.7 is below 0.9", "score": 0.7, "fold_scores": {"0": 0.7}}
    changes = {2: failed, 5: pruned}
    trials = tuple(trial.model_copy(update=changes.get(trial.number, {})) for trial in found)
    best = max((trial for trial in trials if trial.status == "succeeded"), key=lambda trial: trial.score or 0)
    return StudyRecord(
        key=key(f"study-{backbone}"),
        parents={"data": key("data")},
        mlflow_run_id=key(f"run-study-{backbone}")[:32],
        seconds=71.0 * count,
        family=key("family"),
        backbone=backbone,
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
    name = study.backbone
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
        backbone=name,
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


def _benchmark(models: tuple[ModelRecord, ...]) -> BenchmarkRecord:
    measurements = []
    for model in models:
        p50 = model.parameters / 2.4e6
        latency = tuple(
            Quantile(q=q, value_ms=p50 * factor, low_ms=p50 * factor * 0.97, high_ms=p50 * factor * 1.05)
            for q, factor in ((0.5, 1.0), (0.9, 1.3), (0.95, 1.45))
        )
        measurements.append(
            Measurement(
                backbone=model.backbone,
                variant="eager",
                model_digest=model.artifacts["model"].digest,
                latency=latency,
                latency_samples=300,
                latency_cv=0.14,
                throughput_per_second=Interval(
                    value=9e2 / p50, low=8.5e2 / p50, high=9.6e2 / p50, confidence=0.95, method="t"
                ),
                batch_size=32,
                peak_rss_mb=480.0 + p50,
                size_mb=model.artifacts["model"].size_bytes / 1e6,
                load_seconds=0.41,
                unstable=False,
                notes=("p99 needs at least 500 samples",),
            )
        )
    return BenchmarkRecord(
        key=key("benchmark"),
        parents={f"refit_{model.backbone}": model.key for model in models},
        mlflow_run_id=key("run-benchmark")[:32],
        seconds=33.0,
        hardware={"device": "cpu", "cpu": "AMD EPYC 7B13", "cores": "2", "threads": "1", "precision": "fp32"},
        measurements=tuple(measurements),
    )


def _decision(winner: str) -> DecisionRecord:
    return DecisionRecord(
        key=key("decision"),
        parents={"selection": key("selection"), "benchmark": key("benchmark")},
        mlflow_run_id=key("run-decision")[:32],
        seconds=1.2,
        verdict="PROMOTE",
        winner=winner,
        winner_variant="eager",
        winner_model_key=key(f"refit-{winner}"),
        reasons=(
            Reason(code="winner-is-best", text=f"{winner} has the best test score, 0.9546."),
            Reason(
                code="better-than-incumbent",
                text=f"{winner} against bbc-news version 3: the difference in macro_f1 on the same held-out rows is "
                "+0.0312, between +0.0107 and +0.0521 at 95% confidence, wholly above the 0 that is asked for.",
            ),
        ),
        incumbent=Incumbent(
            name="bbc-news",
            version="3",
            model_digest=key("old-model"),
            model_key=key("old-refit"),
            metric="macro_f1",
            score=0.9234,
        ),
        registered={"name": "bbc-news", "version": "4", "alias": "champion"},
    )
