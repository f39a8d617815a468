"""Measurements that never were: rows of given lengths, repetitions that differ, samples with noise and outliers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.classifiers import LatencySamples, ThroughputSamples
from podium.benchmarking.session import ModelFiles, summarise
from podium.config.benchmark import BenchmarkConfig
from podium.evaluation.predictions import Predictions
from podium.records import Figure, Interval, Measurement, ScenarioResult
from podium.selection.estimates import ComparedModel

HARDWARE = {"device": "cpu", "cpu": "AMD EPYC 7B13", "threads": "1"}
LABELS = ("no", "yes")


def repetitions(
    seed: int,
    slower: float = 1.0,
    count: int = 3,
    samples: int = 100,
    spread: float = 0.01,
    drift: Sequence[float] | None = None,
    session: str = "",
) -> list[Repetition]:
    """Repetitions on the same rows for every seed; their levels have a standard deviation of `spread`.

    Args:
        drift: by how much the machine slows each repetition.
    """
    noise = np.random.default_rng(seed)
    lengths = np.random.default_rng(7).lognormal(3.5, 0.6, size=count * samples).astype(int) + 2
    hands = np.random.default_rng(8).permuted(np.sort(lengths).reshape(samples, count), axis=1)
    found = []
    for number in range(count):
        level = slower * np.exp(noise.normal(0, spread)) * (drift[number] if drift is not None else 1)
        jitter = np.exp(noise.normal(0, 0.03, size=samples)) * (1 + (noise.random(samples) < 0.02) * noise.random())
        times = (2e6 + 5e4 * hands[:, number]) * level * jitter
        found.append(
            Repetition(
                session=session,
                number=number,
                pid=number,
                load_seconds=0.4 * level,
                peak_rss_mb=500 + number,
                samples={
                    "latency": LatencySamples(
                        latency_ns=[int(time) for time in times], tokens=[int(length) for length in hands[:, number]]
                    ),
                    "throughput": ThroughputSamples(
                        batch_ns=[int(8e7 * level * jitter[number]) for _ in range(10)],
                        energy_note="there is no power meter",
                    ),
                },
            )
        )
    return found


def in_turns(seed: int, slower: float, drift: float, session: str = "s", **changes: Any) -> list[ComparedModel]:
    """Two models of one session, the second `slower`; the machine's speed varies by `drift` between repetitions."""
    common = np.exp(np.random.default_rng((seed, 1)).normal(0, drift, size=changes.get("count", 3)))
    found = []
    for number, factor in enumerate((1.0, slower)):
        made = repetitions(2 * seed + number + 1000, factor, drift=common, session=session, **changes)
        found.append(made_up(f"{seed}-{number}", 1, measurement=measurement(made), repetitions=made, predictions=None))
    return found


def measurement(found: list[Repetition], **changes: Any) -> Measurement:
    config = BenchmarkConfig(repetitions=len(found), samples=len(found[0].of("latency", LatencySamples).latency_ns))
    taken = {"latency": found, "throughput": found}
    summed = summarise(ModelFiles(Path(), "tiny", "eager", "d" * 64), config, taken, {}, 17.6)
    grid = ScenarioResult(
        figures=tuple(
            Figure.of("per_second", "rows", "/s", _rate(rate), length="own", batch_size=size, tokens=40)
            for size, rate in ((1, 200), (8, 330), (32, 400))
        )
    )
    return summed.model_copy(update={"scenarios": {**summed.scenarios, "grid": grid}, **changes})


def _rate(value: float) -> Interval:
    return Interval(value=value, low=0.97 * value, high=1.03 * value, confidence=0.95, method="t")


def predictions(accuracy: float, seed: int = 0, rows: int = 400, first: int = 0) -> Predictions:
    truth = np.random.default_rng(5).integers(2, size=rows)
    right = np.random.default_rng(seed).random(rows) < accuracy
    ids = tuple(f"row-{number}" for number in range(first, first + rows))
    return Predictions("text-classification", LABELS, ids, truth, np.where(right, truth, 1 - truth))


def made_up(name: str, seed: int, slower: float = 1.0, accuracy: float = 0.9, **changes: Any) -> ComparedModel:
    found = repetitions(seed, slower)
    fields = {
        "title": "tiny (eager)",
        "record": "decision 0123",
        "data": "data",
        "hardware": HARDWARE,
        "predictions": predictions(accuracy, seed),
        "measurement": measurement(found),
        "repetitions": found,
    }
    return ComparedModel(name=name, **{**fields, **changes})
