"""The quantities that `podium compare` compares: their values for one model, and how sure they are."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.latency import LatencySamples
from podium.benchmarking.scenarios.throughput import ThroughputSamples
from podium.benchmarking.statistics import CONFIDENCE, batch_rate, latency_quantile, samples_needed
from podium.evaluation.bootstrap import bootstrap_interval, resampled_count, resampled_scores
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.keys import canonical_json, digest_bytes
from podium.records import Interval, Measurement
from podium.selection.resampling import RESAMPLES, Floats, mean_draws, quantile_draws, widened
from podium.tasks import TASKS

SEED = 0
LATENCIES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}

_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Quantity:
    """A quantity that runs are compared by.

    Attributes:
        name: as in a check.
        title: for people.
        on_hardware: whether it can be compared on equal hardware only.
    """

    name: str
    title: str
    unit: str
    better: Literal["higher", "lower"]
    on_hardware: bool


COSTS = (
    *(Quantity(name, f"latency {name}", "ms", "lower", on_hardware=True) for name in LATENCIES),
    Quantity("throughput", "throughput", "/s", "higher", on_hardware=True),
    Quantity("memory", "peak memory per process", "MB", "lower", on_hardware=True),
    Quantity("size", "size on disk", "MB", "lower", on_hardware=False),
    Quantity("energy", "energy per row", "J", "lower", on_hardware=True),
    Quantity("load", "time to load", "s", "lower", on_hardware=True),
)
SCORES = tuple(
    {
        metric.name: Quantity(metric.name, metric.name, "", metric.better, on_hardware=False)
        for task in TASKS.all()
        for metric in task.metrics
    }.values()
)
"""The metrics of all tasks."""
QUANTITIES = {one.name: one for one in (*SCORES, *COSTS)}
"""All quantities, by the names that a check knows."""


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One model of one run, with the evidence behind it.

    Attributes:
        name: as it was asked for.
        title: backbone and variant.
        record: kind and key of the stored result it was found in.
        data: key of the data behind it; empty where it is not known.
        hardware: fingerprint of what it was measured on.
        predictions: on held-out rows; None where they are not stored.
        scores: quality with intervals, for what `predictions` do not give.
        repetitions: raw samples; empty where they are not stored.
        notes: what is missing, and why.
    """

    name: str
    title: str
    record: str
    data: str = ""
    hardware: Mapping[str, str] | None = None
    predictions: Predictions | None = None
    scores: Mapping[str, Interval] | None = None
    measurement: Measurement | None = None
    repetitions: Sequence[Repetition] = ()
    notes: Sequence[str] = ()


@dataclass(frozen=True, eq=False)
class Estimate:
    """One quantity of one model.

    Attributes:
        interval: at 95 % confidence; None for an exact figure, or where there is none.
        draws: the quantity on resamples, shape (RESAMPLES,); None for an exact figure, or where there is a `problem`.
        kind: what was resampled.
        source: a name of what was resampled. Models with equal names have the same rows, or repetitions that were
            taken in turns and are resampled in pairs. Empty for repetitions that belong to this model alone.
        count: number of repetitions, or of the held-out rows or documents that are resampled.
        problem: why it is not known how sure the value is; empty otherwise.
    """

    value: float
    interval: Interval | None = None
    draws: Floats | None = None
    kind: Literal["rows", "repetitions", "exact"] = "exact"
    source: str = ""
    count: int = 0
    problem: str = ""


@dataclass(frozen=True)
class Missing:
    """A quantity that a model does not have."""

    reason: str


def estimates(model: ComparedModel) -> dict[str, Estimate | Missing]:
    """Every quantity of `QUANTITIES`, by name."""
    return {**_quality(model), **_costs(model)}


def took_turns(model: ComparedModel, other: ComparedModel) -> bool:
    """Whether the repetitions of two models were taken in turns, so that they can be compared in pairs."""
    return _session(model.repetitions) == _session(other.repetitions) != ""


def in_pairs(model: ComparedModel, known: Mapping[str, Estimate | Missing]) -> dict[str, Estimate | Missing]:
    """The estimates of a model with repetitions drawn in pairs, to be contrasted with one that took turns with it.

    Args:
        known: the estimates of the model by itself.
    """
    found = _in_order(model)
    source = _session(found)
    costs = {**known, **_latencies(found, whole=True)}
    return {
        name: replace(held, source=source) if isinstance(held, Estimate) and held.kind == "repetitions" else held
        for name, held in costs.items()
    }


def _session(repetitions: Sequence[Repetition]) -> str:
    """A name for the session of all the repetitions and their numbers in it; empty without a session of two or more."""
    names = {one.session for one in repetitions}
    numbers = sorted(one.number for one in repetitions)
    if len(names) != 1 or "" in names or len(numbers) < 2 or len(set(numbers)) < len(numbers):
        return ""
    return f"{names.pop()}:{','.join(str(number) for number in numbers)}"


def _in_order(model: ComparedModel) -> list[Repetition]:
    """Repetitions by number, so that equal seeds pick the same ones of all models of a session."""
    return sorted(model.repetitions, key=lambda one: one.number)


def _quality(model: ComparedModel) -> dict[str, Estimate | Missing]:
    found: dict[str, Estimate | Missing] = {one.name: Missing("it was not evaluated") for one in SCORES}
    for name, interval in (model.scores or {}).items():
        problem = "its predictions are not stored, so it is not known which rows it was right on"
        found[name] = Estimate(interval.value, interval, problem=problem)
    if model.predictions is None:
        return found
    ordered = model.predictions.aligned_to(sorted(model.predictions.ids))
    source = rows_of(ordered)
    for name, value in all_metrics(ordered).items():
        found[name] = Estimate(
            value,
            bootstrap_interval(ordered, name, CONFIDENCE, RESAMPLES, SEED),
            resampled_scores(ordered, name, RESAMPLES, SEED),
            "rows",
            source,
            resampled_count(ordered),
        )
    return found


def rows_of(predictions: Predictions) -> str:
    """A digest of held-out rows with their truth and their documents, whatever their order."""
    ordered = predictions.aligned_to(sorted(predictions.ids))
    documents = {} if ordered.documents is None else {"documents": list(ordered.documents)}
    return digest_bytes(canonical_json({"ids": list(ordered.ids), "truth": ordered.named("truth"), **documents}))


def _costs(model: ComparedModel) -> dict[str, Estimate | Missing]:
    measured, found = model.measurement, _in_order(model)
    if measured is None:
        return {one.name: Missing("it was not measured") for one in COSTS}
    size = measured.batch_size
    if not found:
        return _without_samples(measured)
    batches = [one.of("throughput", ThroughputSamples) for one in found]
    energies = [one.energy_j / (size * len(one.batch_ns)) for one in batches if one.energy_j is not None]
    no_energy = Missing(measured.energy_note or "it was not read")
    return {
        **_latencies(found),
        "throughput": _of_repetitions([batch_rate(one.batch_ns, size) for one in batches]),
        "memory": _of_repetitions([one.peak_rss_mb for one in found]),
        "size": Estimate(measured.size_mb),
        "energy": _of_repetitions(energies) if len(energies) == len(found) else no_energy,
        "load": _of_repetitions([one.load_seconds for one in found]),
    }


def _latencies(found: Sequence[Repetition], *, whole: bool = False) -> dict[str, Estimate | Missing]:
    """Latency quantiles in ms, where there are enough samples for them."""
    samples = [one.of("latency", LatencySamples) for one in found]
    pooled = [taken for one in samples for taken in one.latency_ns]
    enough = [name for name, q in LATENCIES.items() if len(pooled) >= samples_needed(q)]
    result: dict[str, Estimate | Missing] = {
        name: Missing(f"it needs {samples_needed(q)} samples, and there are {len(pooled)}")
        for name, q in LATENCIES.items()
    }
    if not enough:
        return result
    values = {name: latency_quantile(pooled, LATENCIES[name], CONFIDENCE).value for name in enough}
    pairs = [(one.latency_ns, one.tokens) for one in samples]
    draws = quantile_draws(pairs, [LATENCIES[name] for name in enough], seed=SEED, whole=whole) / _NS_PER_MS
    method = f"hierarchical bootstrap over {len(found)} repetitions"
    return result | {name: _resampled(values[name], draws[:, k], len(found), method) for k, name in enumerate(enough)}


def _of_repetitions(values: Sequence[float]) -> Estimate:
    """The mean of one figure per repetition."""
    draws, count = mean_draws(values, seed=SEED), len(values)
    return _resampled(statistics.mean(values), draws, count, f"bootstrap over {count} repetitions")


def _resampled(value: float, draws: Floats, repetitions: int, method: str) -> Estimate:
    """An estimate with Student's t interval over repetitions, whose standard error the draws give."""
    from scipy.stats import t

    if repetitions == 1:
        return Estimate(value, problem="one repetition cannot show how far repetitions differ")
    wide = widened(draws, value, repetitions)
    margin = float(t.ppf((1 + CONFIDENCE) / 2, repetitions - 1) * wide.std())
    interval = _interval(value, max(0.0, value - margin), value + margin, method)
    return Estimate(value, interval, wide, "repetitions", count=repetitions)


def _interval(value: float, low: float, high: float, method: str) -> Interval:
    return Interval(value=value, low=low, high=high, confidence=CONFIDENCE, method=method)


def _without_samples(measured: Measurement) -> dict[str, Estimate | Missing]:
    """Figures as the record has them: intervals, but nothing to resample."""
    problem = "its raw samples are not stored"
    found: dict[str, Estimate | Missing] = {}
    for name, q in LATENCIES.items():
        found[name] = Missing(f"it needs {samples_needed(q)} samples")
        held = measured.scenario("latency").figure(f"{name}_ms")
        if held is not None and held.interval is not None:
            found[name] = Estimate(held.interval.value, held.interval, problem=problem)
    rate, energy = measured.throughput_per_second, measured.energy_j
    no_energy = Missing(measured.energy_note or "it was not read")
    return found | {
        "throughput": Estimate(rate.value, rate, problem=problem),
        "memory": Estimate(measured.peak_rss_mb, problem=problem),
        "size": Estimate(measured.size_mb),
        "energy": no_energy if energy is None else Estimate(energy, problem=problem),
        "load": Estimate(measured.load_seconds, problem=problem),
    }
