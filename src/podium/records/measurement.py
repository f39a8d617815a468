"""What was measured of a model on one piece of hardware."""

from __future__ import annotations

from typing import ClassVar

from podium.errors import BenchmarkError
from podium.records.base import Frozen, Interval, Record, Scalar


class Quantile(Frozen):
    """A latency quantile in milliseconds with the bounds of its confidence interval."""

    q: float
    value_ms: float
    low_ms: float
    high_ms: float


class Figure(Frozen):
    """One measured quantity.

    Attributes:
        name: stable name within its scenario, for machines: `p50_ms`, `per_second`.
        title: what people call it: `p50`, `rows`.
        unit: `ms`, `/s`, `J`; empty for a number without a unit.
        value: null where it could not be measured; a note of the result says why.
        low, high: bounds of its confidence interval; null where it has none.
        confidence: of that interval.
        method: how the bounds were found.
        labels: what the figure holds for, by name, where a scenario has several of one name: `{"batch size": 8}`.
    """

    name: str
    title: str
    unit: str = ""
    value: float | None
    low: float | None = None
    high: float | None = None
    confidence: float | None = None
    method: str = ""
    labels: dict[str, Scalar] = {}

    @classmethod
    def of(cls, name: str, title: str, unit: str, interval: Interval, **labels: Scalar) -> Figure:
        """A figure with its confidence interval."""
        return cls(name=name, title=title, unit=unit, **interval.model_dump(), labels=labels)

    @property
    def interval(self) -> Interval | None:
        """Value and bounds; None where the figure has no value or no bounds."""
        if self.value is None or self.low is None or self.high is None:
            return None
        return Interval(
            value=self.value, low=self.low, high=self.high, confidence=self.confidence or 0.0, method=self.method
        )


class ScenarioResult(Frozen):
    """What one scenario found, in a form that is the same for all scenarios.

    Attributes:
        figures: in the order in which they are shown.
        facts: numbers and texts that explain the figures or that others compute with, by name.
        notes: sentences for people: why a figure is missing, or what to set for a better one.
    """

    figures: tuple[Figure, ...]
    facts: dict[str, Scalar] = {}
    notes: tuple[str, ...] = ()

    def figure(self, name: str) -> Figure | None:
        """The first figure of this name, or None."""
        return next((one for one in self.figures if one.name == name), None)

    def value(self, name: str) -> float | None:
        """Value of the figure of this name; None where there is none."""
        found = self.figure(name)
        return found.value if found else None


_NOTHING = ScenarioResult(figures=())


class Measurement(Frozen):
    """What was measured of one deployable variant of one model.

    Attributes:
        backbone: name of the backbone or, of a model that was measured alone, of the model.
        scenarios: results by name of the scenario. A classifier always has `latency` (batch size 1) and `throughput`
            (full batches), both on rows with the data set's own lengths; a causal language model has `generation`.
        peak_rss_mb: largest resident memory of any repetition, in MB of 10^6 bytes; device memory likewise.
        load_seconds: median time to read the model from its directory onto the device.
        environment: what may explain a difference between measurements and is not part of the key.
        unstable: whether repetitions disagree; the notes say in what.
    """

    backbone: str
    variant: str
    model_digest: str
    scenarios: dict[str, ScenarioResult]
    peak_rss_mb: float
    peak_device_mb: float | None = None
    size_mb: float
    load_seconds: float
    environment: dict[str, str] = {}
    unstable: bool
    notes: tuple[str, ...] = ()

    def scenario(self, name: str) -> ScenarioResult:
        """The result of a scenario; one without figures where it was not measured."""
        return self.scenarios.get(name, _NOTHING)

    @property
    def latency(self) -> tuple[Quantile, ...]:
        """Latency quantiles at batch size 1, those that the samples support."""
        found = [(one, one.interval) for one in self.scenario("latency").figures]
        return tuple(
            Quantile(q=round(float(one.name[1:-3]) / 100, 6), value_ms=held.value, low_ms=held.low, high_ms=held.high)
            for one, held in found
            if held
        )

    def quantile_ms(self, q: float) -> float | None:
        """The latency quantile `q` in milliseconds, or None where the samples did not support it."""
        return next((item.value_ms for item in self.latency if item.q == q), None)

    @property
    def latency_samples(self) -> int:
        """Number of timed rows in all repetitions."""
        return int(self.scenario("latency").facts.get("samples", 0))

    @property
    def latency_cv(self) -> float:
        """Coefficient of variation of the median latency between repetitions."""
        return float(self.scenario("latency").facts.get("cv", 0.0))

    @property
    def throughput_per_second(self) -> Interval:
        """Rows per second in batches of `batch_size`.

        Raises:
            BenchmarkError: it was not measured, since the model is no classifier.
        """
        found = self.scenario("throughput").figure("per_second")
        if found is None or found.interval is None:
            raise BenchmarkError(
                f"only classifiers have a throughput in rows, but of {self.backbone} was measured: "
                f"{', '.join(self.scenarios)}"
            )
        return found.interval

    @property
    def batch_size(self) -> int:
        """Rows per batch of the throughput."""
        return int(self.scenario("throughput").facts.get("batch_size", 0))

    @property
    def energy_j(self) -> float | None:
        """Joules per row at that throughput; None where it cannot be read, for the reason in `energy_note`."""
        return self.scenario("throughput").value("energy_j")

    @property
    def energy_note(self) -> str:
        """What the energy counts, or why it could not be read."""
        return str(self.scenario("throughput").facts.get("energy_note", ""))

    @property
    def mfu(self) -> float | None:
        """Share of the device's dense peak that the throughput uses; None where it is not known: see `mfu_note`."""
        return self.scenario("throughput").value("mfu")

    @property
    def mfu_note(self) -> str:
        """How the utilisation is counted, or why it is not known."""
        return str(self.scenario("throughput").facts.get("mfu_note", ""))


class MeasurementRecord(Record):
    """One measured variant of one model. Artifact `samples`: the raw samples."""

    kind: ClassVar[str] = "measurement"
    hardware: dict[str, str] = {}
    measurement: Measurement
