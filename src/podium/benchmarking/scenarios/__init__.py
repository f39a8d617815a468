"""Scenarios: the ways to load a model while it is measured, and their contract.

To add one, write a subclass of `Scenario` and register it: in `podium.config.benchmark.SCENARIOS`, or in another
package as an entry point of the group `podium.scenarios`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from podium.benchmarking.bench import Bench, Call
from podium.benchmarking.calls import Samples
from podium.config.benchmark import SCENARIOS, BenchmarkConfig
from podium.config.section import Section
from podium.display.blocks import Cell, Row, Table
from podium.display.numbers import MISSING, figure
from podium.inference.predictor import LoadedModel, predictor_class
from podium.records import Figure, ScenarioResult

__all__ = ["SCENARIOS", "Bench", "Measured", "NoSettings", "Samples", "Scenario", "figures_table"]

S = TypeVar("S", bound=Samples)
D = TypeVar("D", bound=Section)


class NoSettings(Section):
    """The settings of a scenario that has none."""


@dataclass(frozen=True)
class Measured:
    """What was measured, and how: what `Scenario.summarise` knows beside the samples."""

    config: BenchmarkConfig
    variant: str = "eager"
    environment: Mapping[str, str] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)


class Scenario(ABC, Generic[S, D]):
    """One way to load a model while it is measured.

    A scenario measures in worker processes, one per repetition, and sums up outside of them. Its samples cross the
    border between the two as JSON, and are kept, so `summarise` must give equal results for equal samples. An instance
    has no state: the same one serves all models of a session.

    To add a scenario, set the class attributes, implement `measure` and `summarise`, and register an instance. The
    module is imported by every command that names the scenario, so import heavy libraries inside of the methods.

    Attributes:
        name: in the config, records and figures.
        Settings: its config section, which users set as `benchmark.settings.NAME.FIELD`; every field has a default
            and a description.
        shares_process: whether it is measured with the model that the scenarios before it have loaded and warmed up,
            in turns with other models. Otherwise it gets processes of its own.
        from_start: whether its processes start only when their turn has come, so that the start itself can be timed.
        language_model: whether it measures causal language models instead of classifiers.
        least_repetitions: fewer are refused.
        folded: whether its table is closed at first.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    explanation: ClassVar[str]
    Settings: ClassVar[type[Section]] = NoSettings
    Samples: ClassVar[type[Samples]]
    shares_process: ClassVar[bool] = False
    from_start: ClassVar[bool] = False
    language_model: ClassVar[bool] = False
    least_repetitions: ClassVar[int] = 1
    folded: ClassVar[bool] = False

    @abstractmethod
    def measure(self, bench: Bench) -> S:
        """Measure in a worker process; the model is loaded and warm, unless the scenario is `from_start`.

        Whatever it raises fails the measurement with the message.
        """

    @abstractmethod
    def summarise(self, samples: Sequence[S], about: Measured) -> ScenarioResult:
        """Sum up the samples of all repetitions, in their order. Pure, and equal for equal samples.

        Raises BenchmarkError where there are too few samples for any figure.
        """

    def settings(self, config: BenchmarkConfig) -> D:
        found: D = config.settings_of(self.name)
        return found

    def predictor_class(self, variant: str, folder: Path) -> type[LoadedModel]:
        """The class that loads the model in `folder`."""
        return predictor_class(variant, folder)

    def warm_up_call(self, bench: Bench) -> Call:
        """What is called, with one row, until its times are steady."""
        call: Call = bench.predictor
        return call

    def processes(self, config: BenchmarkConfig) -> int:
        """Number of processes; with more than there are repetitions, the rows of the repetitions are used again."""
        return config.repetitions

    def seconds(self, config: BenchmarkConfig) -> float:
        """About how long a process measures; one that takes three times as long is stopped."""
        return config.max_seconds

    def parameters(self, config: BenchmarkConfig, earlier: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        """What follows from the samples of every repetition of `earlier` scenarios, by name: JSON-like values."""
        return {}

    def levels(self, samples: S) -> dict[str, float]:
        """Figures of one repetition, by a name for people, that must agree between repetitions of a stable machine."""
        return {}

    def median_ms(self, samples: S) -> float | None:
        """The median of one repetition in milliseconds, to show progress; None where there is none."""
        return None

    def table(self, results: Mapping[str, ScenarioResult]) -> Table:
        """The figures of several models, by their names, as a table."""
        return figures_table(self.title, results)


AnyScenario = Scenario[Any, Any]


def figures_table(title: str, results: Mapping[str, ScenarioResult]) -> Table:
    """A table with a row per model and set of labels, and a column per label and per name of a figure."""
    every = [one for result in results.values() for one in result.figures]
    labels = list(dict.fromkeys(name for one in every for name in one.labels))
    columns = {one.name: heading(one) for one in every}
    rows = []
    for model, result in results.items():
        alike: dict[tuple[Any, ...], dict[str, Figure]] = {}
        for one in result.figures:
            alike.setdefault(tuple(one.labels.get(name, "") for name in labels), {})[one.name] = one
        for values, own in alike.items():
            cells = [figure_cell(own.get(name)) for name in columns]
            rows.append(Row([model, *(str(value) for value in values), *cells]))
    align = "l" * (1 + len(labels)) + "r" * len(columns)
    headings = [name[:1].upper() + name[1:] for name in ("variant", *labels)]
    return Table(title, [*headings, *columns.values()], align, rows)


def heading(one: Figure) -> str:
    """Heading of the column of a figure, with its unit."""
    title = one.title[:1].upper() + one.title[1:] if len(one.title) > len("p50") else one.title
    return f"{title} {one.unit}".strip()


def figure_cell(one: Figure | None) -> Cell:
    """A figure with its bounds."""
    if one is None or one.value is None or not math.isfinite(one.value):
        return Cell(MISSING)
    if one.interval is None:
        return Cell(f"{one.value:,.0f}" if one.value.is_integer() else figure(one.value))
    return Cell(figure(one.value), f"{figure(one.low)} to {figure(one.high)}")
