"""Scenario `cold-start`: from the start of a process to its first answer."""

from __future__ import annotations

import time
from collections.abc import Sequence

from podium.benchmarking.bench import Bench
from podium.benchmarking.calls import Samples
from podium.benchmarking.scenarios import Measured, NoSettings, Scenario
from podium.benchmarking.statistics import mean_interval
from podium.config.benchmark import BenchmarkConfig
from podium.records import Figure, ScenarioResult

_LEAST_STARTS = 3

_NS_PER_S = 1e9


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
        return max(config.repetitions, _LEAST_STARTS)

    def measure(self, bench: Bench) -> ColdStartSamples:
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
        parts = {
            "imports": [one.imports_ns for one in samples],
            "load": [one.load_ns for one in samples],
            "first answer": [one.first_answer_ns for one in samples],
            "total": [one.imports_ns + one.load_ns + one.first_answer_ns for one in samples],
        }
        figures = []
        for title, taken in parts.items():
            name = "seconds" if title == "total" else f"{title.replace(' ', '_')}_seconds"
            figures.append(Figure.of(name, title, "s", mean_interval([ns / _NS_PER_S for ns in taken])))
        return ScenarioResult(figures=tuple(figures))


COLD_START = ColdStart()
