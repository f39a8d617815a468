"""Scenario `cold-start`: from the start of a process to its first answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios.base import Measured, NoSettings, Scenario
from podium.benchmarking.statistics import CONFIDENCE, mean_interval
from podium.config.benchmark import BenchmarkConfig
from podium.records import Figure, ScenarioResult

LEAST_STARTS = 3
"""Starts, however few repetitions there are."""

_NS_PER_S = 1e9
_TITLES = {
    "imports_seconds": "imports",
    "load_seconds": "load",
    "first_answer_seconds": "first answer",
    "seconds": "total",
}


class ColdStartSamples(Samples):
    """One start; times from the moment the launcher started the process."""

    imports_ns: int
    load_ns: int
    first_answer_ns: int


class ColdStart(Scenario[ColdStartSamples, NoSettings]):
    """Processes that are started one after another; the files of model and libraries lie in the page cache."""

    name = "cold-start"
    title = "Cold start"
    explanation = "From the start of a process to its first answer, in seconds; files lie in the page cache."
    Samples = ColdStartSamples
    from_start = True

    def processes(self, config: BenchmarkConfig) -> int:
        """At least three."""
        return max(config.repetitions, LEAST_STARTS)

    def measure(self, bench: Bench) -> ColdStartSamples:
        """Load and answer one row."""
        bench.prepare()
        imported = time.monotonic_ns()
        bench.load()
        loaded = time.monotonic_ns()
        bench.predictor(bench.call.rows[:1])
        return ColdStartSamples(
            imports_ns=imported - bench.started_ns,
            load_ns=loaded - imported,
            first_answer_ns=time.monotonic_ns() - loaded,
        )

    def summarise(self, samples: Sequence[ColdStartSamples], about: Measured) -> ScenarioResult:
        """Means and intervals of the parts and of their sum."""
        parts = [(one.imports_ns, one.load_ns, one.first_answer_ns) for one in samples]
        seconds = zip(*((*part, sum(part)) for part in parts), strict=True)
        figures = [
            Figure.of(name, title, "s", mean_interval([taken / _NS_PER_S for taken in each], CONFIDENCE))
            for (name, title), each in zip(_TITLES.items(), seconds, strict=True)
        ]
        return ScenarioResult(figures=tuple(figures))


COLD_START = ColdStart()
