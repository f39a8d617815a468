"""The quantities that `podium compare` compares: their values for one model, and how sure they are.

Samples of one process are not independent: they share its memory layout, its thread placement and the state of the
machine meanwhile. Repetitions are independent, so whole repetitions are resampled, with all their samples. They contain
all the noise there is; resampling within them would add the noise of single samples, most of it, a second time (Davison
and Hinkley, Bootstrap Methods and their Application, 1997, section 3.8, strategy 2). Repetitions that two models took
in turns are resampled as pairs: equal seeds pick the same ones, so that drift common to both cancels in the ratio.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from podium.benchmarking.calls import Repetition
from podium.benchmarking.scenarios.classifiers import LatencySamples, ThroughputSamples
from podium.benchmarking.statistics import CONFIDENCE, batch_rate, latency_quantile, samples_needed
from podium.evaluation.bootstrap import bootstrap_interval, resampled_count, resampled_scores
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.keys import canonical_json, digest_bytes
from podium.records import Interval, Measurement
from podium.tasks import TASKS

SEED, RESAMPLES = 0, 1000
LATENCIES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99}
_NS_PER_MS = 1e6


@dataclass(frozen=True)
class Quantity:
    """A quantity that runs are compared by; `name` is as in a check, `title` for people.

    Attributes:
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
_METRICS = {metric.name: metric for task in TASKS.all() for metric in task.metrics}
SCORES = tuple(Quantity(name, name, "", metric.better, on_hardware=False) for name, metric in _METRICS.items())
QUANTITIES = {one.name: one for one in (*SCORES, *COSTS)}
"""The metrics of all tasks and the costs, by the names that a check knows."""


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One model of one run, with the evidence behind it.

    Attributes:
        name: as it was asked for.
        title: entrant and variant.
        record: kind and key of the stored result it was found in.
        data: key of the data behind it; empty where it is not known.
        hardware: fingerprint of what it was measured on.
        predictions: on held-out rows; None where they are not stored.
        scores: quality with intervals, for what `predictions` do not give.
        repetitions: raw samples; empty where they are not stored.
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

    @property
    def session(self) -> str:
        """A name for the session of all the repetitions and their numbers in it; empty without two or more in one."""
        names = {one.session for one in self.repetitions}
        numbers = sorted({one.number for one in self.repetitions})
        if len(names) != 1 or "" in names or not 2 <= len(numbers) == len(self.repetitions):
            return ""
        return f"{names.pop()}:{','.join(str(number) for number in numbers)}"


@dataclass(frozen=True, eq=False)
class Estimate:
    """One quantity of one model.

    Attributes:
        value: None where the model does not have the quantity.
        problem: why there is no value, or why it is not known how sure it is; empty otherwise.
        interval: at 95 % confidence; None for an exact figure, or where there is none.
        draws: the quantity on resamples, shape (RESAMPLES,); None for an exact figure, or where there is a `problem`.
        kind: what was resampled; empty where nothing was.
        source: a name of what was resampled. Models with equal names have the same rows, or repetitions that were
            taken in turns and are resampled in pairs. Empty for repetitions that belong to this model alone.
        count: number of repetitions, or of the held-out rows or documents that are resampled.
    """

    value: float | None = None
    problem: str = ""
    interval: Interval | None = None
    draws: NDArray[np.float64] | None = None
    kind: Literal["rows", "repetitions", ""] = ""
    source: str = ""
    count: int = 0


def estimates(model: ComparedModel) -> dict[str, Estimate]:
    """Every quantity of `QUANTITIES`, by name."""
    return {**_quality(model), **_costs(model)}


def rows_of(predictions: Predictions) -> str:
    """A digest of held-out rows with their truth and their documents, whatever their order."""
    ordered = predictions.aligned_to(sorted(predictions.ids))
    documents = {} if ordered.documents is None else {"documents": list(ordered.documents)}
    return digest_bytes(canonical_json({"ids": list(ordered.ids), "truth": ordered.named("truth"), **documents}))


def _quality(model: ComparedModel) -> dict[str, Estimate]:
    found = {one.name: Estimate(problem="it was not evaluated") for one in SCORES}
    problem = "its predictions are not stored, so it is not known which rows it was right on"
    found |= {name: Estimate(held.value, problem, held) for name, held in (model.scores or {}).items()}
    if model.predictions is None:
        return found
    ordered = model.predictions.aligned_to(sorted(model.predictions.ids))
    source = rows_of(ordered)
    return found | {
        name: Estimate(
            value,
            interval=bootstrap_interval(ordered, name, CONFIDENCE, RESAMPLES, SEED),
            draws=resampled_scores(ordered, name, RESAMPLES, SEED),
            kind="rows",
            source=source,
            count=resampled_count(ordered),
        )
        for name, value in all_metrics(ordered).items()
    }


def _costs(model: ComparedModel) -> dict[str, Estimate]:
    measured = model.measurement
    if measured is None:
        return {one.name: Estimate(problem="it was not measured") for one in COSTS}
    found = {"size": Estimate(measured.size_mb), "energy": Estimate(problem=measured.energy_note or "it was not read")}
    return found | (_of_samples(model, measured) if model.repetitions else _without_samples(measured))


def _of_samples(model: ComparedModel, measured: Measurement) -> dict[str, Estimate]:
    repetitions = sorted(model.repetitions, key=lambda one: one.number)
    picks = np.random.default_rng(SEED).integers(len(repetitions), size=(RESAMPLES, len(repetitions)))

    def mean(values: Iterable[float]) -> Estimate:
        figures = np.array([*values])
        return _resampled(model, float(statistics.mean(figures.tolist())), figures[picks].mean(axis=1))

    samples = [np.array(one.of("latency", LatencySamples).latency_ns) for one in repetitions]
    pooled = np.concatenate(samples).tolist()
    enough = {name: q for name, q in LATENCIES.items() if len(pooled) >= samples_needed(q)}
    found = {
        name: Estimate(problem=f"it needs {samples_needed(q)} samples, and there are {len(pooled)}")
        for name, q in LATENCIES.items()
    }
    # Quantiles do not depend on the order in a pick, so few repetitions have few different ones.
    different, places = np.unique(np.sort(picks, axis=1), axis=0, return_inverse=True)
    drawn = (np.concatenate([samples[number] for number in pick]) for pick in different)
    draws = [np.quantile(one, [*enough.values()], method="median_unbiased") / _NS_PER_MS for one in drawn]
    for (name, q), column in zip(enough.items(), np.transpose(draws)[:, places.ravel()], strict=True):
        found[name] = _resampled(model, latency_quantile(pooled, q).value, column)
    size, batches = measured.batch_size, [one.of("throughput", ThroughputSamples) for one in repetitions]
    energies = [one.energy_j / (size * len(one.batch_ns)) for one in batches if one.energy_j is not None]
    if len(energies) == len(repetitions):
        found["energy"] = mean(energies)
    return found | {
        "throughput": mean(batch_rate(one.batch_ns, size) for one in batches),
        "memory": mean(one.peak_rss_mb for one in repetitions),
        "load": mean(one.load_seconds for one in repetitions),
    }


def _resampled(model: ComparedModel, value: float, draws: NDArray[np.float64]) -> Estimate:
    """An estimate with Student's t interval over repetitions, whose standard error the draws give.

    The draws are moved to `value` and widened: a bootstrap of n values has a variance that is (n - 1) / n of the true
    one on average (Hesterberg, What Teachers Should Know About the Bootstrap, The American Statistician 69, 2015,
    section 3.2).
    """
    from scipy.special import stdtrit

    count = len(model.repetitions)
    if count == 1:
        return Estimate(value, "one repetition cannot show how far repetitions differ")
    wide = value + math.sqrt(count / (count - 1)) * (draws - draws.mean())
    margin = float(stdtrit(count - 1, (1 + CONFIDENCE) / 2) * wide.std())
    interval = Interval(
        value=value,
        low=max(0.0, value - margin),
        high=value + margin,
        confidence=CONFIDENCE,
        method=f"bootstrap over {count} repetitions",
    )
    return Estimate(value, interval=interval, draws=wide, kind="repetitions", source=model.session, count=count)


def _without_samples(measured: Measurement) -> dict[str, Estimate]:
    """Figures as the record has them: intervals, but nothing to resample."""
    problem, rate = "its raw samples are not stored", measured.throughput_per_second
    found = {
        "throughput": Estimate(rate.value, problem, rate),
        "memory": Estimate(measured.peak_rss_mb, problem),
        "load": Estimate(measured.load_seconds, problem),
    }
    if measured.energy_j is not None:
        found["energy"] = Estimate(measured.energy_j, problem)
    for name, q in LATENCIES.items():
        held = measured.scenario("latency").figure(f"{name}_ms")
        interval = held.interval if held else None
        lacking = Estimate(problem=f"it needs {samples_needed(q)} samples")
        found[name] = Estimate(interval.value, problem, interval) if interval else lacking
    return found
