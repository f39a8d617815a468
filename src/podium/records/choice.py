"""What is measured of models, what is chosen by it, and the evidence behind a decision."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from podium.config.benchmark import SelectionConfig
from podium.errors import BenchmarkError
from podium.records.base import Frozen, Interval, Record, Scalar
from podium.records.inputs import Incumbent, Variant
from podium.records.labels import LabelReview


class Quantile(Frozen):
    """A latency quantile in milliseconds with the bounds of its confidence interval."""

    q: float
    value_ms: float
    low_ms: float
    high_ms: float


class Figure(Frozen):
    """One measured quantity.

    Attributes:
        name: stable name within its scenario, for machines: `p50_ms`, `per_second`; `title`, what people call it.
        unit: `ms`, `/s`, `J`; empty for a number without a unit.
        value: null where it could not be measured; a note of the result says why.
        low, high: bounds of its confidence interval, of this `confidence`, found by `method`; null where it has none.
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
        return cls(name=name, title=title, unit=unit, **interval.model_dump(), labels=labels)

    @property
    def interval(self) -> Interval | None:
        """Value and bounds; None where the figure has no value or no bounds."""
        if self.value is None or self.low is None or self.high is None:
            return None
        bounds = {"low": self.low, "high": self.high, "confidence": self.confidence or 0.0}
        return Interval(value=self.value, method=self.method, **bounds)


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
        return next((one for one in self.figures if one.name == name), None)

    def value(self, name: str) -> float | None:
        found = self.figure(name)
        return found.value if found else None


class Measurement(Frozen):
    """What was measured of one deployable variant of one model.

    Attributes:
        entrant: name of the entrant or, of a model that was measured alone, of the model.
        scenarios: results by name of the scenario. A classifier always has `latency` (batch size 1) and `throughput`
            (full batches), both on rows with the data set's own lengths; a causal language model has `generation`.
        peak_rss_mb: largest resident memory of any repetition, in MB of 10^6 bytes; device memory likewise.
        load_seconds: median time to read the model from its directory onto the device.
        environment: what may explain a difference between measurements and is not part of the key.
        unstable: whether repetitions disagree; the notes say in what.
    """

    entrant: str
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
        return self.scenarios.get(name, ScenarioResult(figures=()))

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
                f"only classifiers have a throughput in rows, but of {self.entrant} was measured: "
                f"{', '.join(self.scenarios)}"
            )
        return found.interval

    @property
    def batch_size(self) -> int:
        return int(self.scenario("throughput").facts.get("batch_size", 0))

    @property
    def energy_j(self) -> float | None:
        """Joules per row at that throughput; None where it cannot be read, for the reason in `energy_note`."""
        return self.scenario("throughput").value("energy_j")

    @property
    def energy_note(self) -> str:
        return str(self.scenario("throughput").facts.get("energy_note", ""))

    @property
    def mfu(self) -> float | None:
        """Share of the device's dense peak that the throughput uses; None where it is not known: see `mfu_note`."""
        return self.scenario("throughput").value("mfu")

    @property
    def mfu_note(self) -> str:
        return str(self.scenario("throughput").facts.get("mfu_note", ""))


class MeasurementRecord(Record):
    """One measured variant of one model. Artifact `samples`: the raw samples."""

    kind: ClassVar[str] = "measurement"
    hardware: dict[str, str] = {}
    measurement: Measurement


Verdict = Literal["PROMOTE", "HOLD", "REJECT"]

RULE = "non-inferiority"
"""Name of the rule by which this version chooses the winner; a decision records the rule it was made by."""


class FoldTest(Frozen):
    """Corrected resampled t-test of `challenger` minus `reference` on the scores of the same folds."""

    reference: str
    challenger: str
    folds: int
    difference: Interval
    p_value: float


class LeaderboardEntry(Frozen):
    """One candidate on held-out data.

    Attributes:
        cv_score: mean of the best trial's fold scores, `cv_std` their standard deviation.
        trials: that succeeded.
        runner_up: the best trial against the second best of its study; null where too few folds allow no test.
    """

    entrant: str
    model_key: str
    model_digest: str
    trial: int
    cv_score: float
    cv_std: float
    trials: int
    test: Interval
    size_mb: float
    parameters: int
    runner_up: FoldTest | None = None


class Comparison(Frozen):
    """Paired bootstrap of `challenger` minus `reference` on the same held-out rows.

    Attributes:
        difference: of the two scores. The interval is of this comparison alone.
        differing: how many rows, or documents, the two answer differently; null in records that did not count them.
        p_value: two-sided, of no difference, of this comparison alone.
        p_adjusted: Holm's, over the comparisons that were made together; null for a comparison made alone.
        measurably_worse, measurably_better: by the adjusted p-value where there is one, otherwise by the p-value.
    """

    reference: str
    challenger: str
    metric: str
    difference: Interval
    differing: int | None = None
    p_value: float
    p_adjusted: float | None = None
    measurably_worse: bool
    measurably_better: bool = False


class BaselineEntry(Frozen):
    """A baseline as the leaderboard shows it. It is never a candidate."""

    name: str
    test: Interval
    seconds: float


class SelectionRecord(Record):
    """Champions per entrant, ranked, with the comparisons behind the ranking.

    Artifact `label_issues`, where any label looks wrong: `label_issues.csv`.

    Attributes:
        rows: how many held-out rows there are.
        comparisons: the best champion against each other one, on these rows; `fold_tests`: on their folds.
        baselines: best first; `baseline_comparisons`, every champion against every baseline.
    """

    kind: ClassVar[str] = "selection"
    metric: str
    rows: int = 0
    leaderboard: tuple[LeaderboardEntry, ...]
    comparisons: tuple[Comparison, ...]
    baselines: tuple[BaselineEntry, ...] = ()
    baseline_comparisons: tuple[Comparison, ...] = ()
    fold_tests: tuple[FoldTest, ...] = ()
    warnings: tuple[str, ...] = ()
    labels: LabelReview = LabelReview(status="skipped", reason="labels were not searched")


class BenchmarkRecord(Record):
    """Measurements of the champions on one piece of hardware; parents are the single measurements.

    Artifacts: `samples.ENTRANT.VARIANT`, raw latencies; `model.ENTRANT.VARIANT` and `predictions.ENTRANT.VARIANT`,
    the files and the held-out predictions of each variant that is `ok`.

    `variants` has every variant of every champion that the config names, with the reason where it was not measured.
    """

    kind: ClassVar[str] = "benchmark"
    hardware: dict[str, str]
    measurements: tuple[Measurement, ...]
    variants: tuple[Variant, ...] = ()


class Reason(Frozen):
    """Why a verdict is what it is: a stable code for machines and a sentence for people."""

    code: str
    text: str


class VariantScore(Frozen):
    """The score of a variant's own predictions on the held-out rows."""

    entrant: str
    variant: str
    test: Interval


class CopiedRows(Frozen):
    """Held-out rows that nearly repeat a row the models learned from, so that their answers say little of new rows.

    Attributes:
        rows: how many held-out rows these are.
        searched: share of the development rows that were looked through; below 1 for very large data, and `rows` is
            then the least that there are.
        score: of the winner on the other rows; null where no other row is left.
        guessing: the winner against guessing on the other rows; null where it cannot be compared.
    """

    rows: int
    searched: float
    score: Interval | None = None
    guessing: Comparison | None = None


class Evidence(Frozen):
    """Everything that a decision follows from, so that it can be made again.

    Candidates are variants, called `ENTRANT (VARIANT)` in comparisons, and are compared by their own predictions.

    Attributes:
        rule: name of the rule by which the winner was chosen; records without one were made when a candidate only had
            to be not shown to be worse.
        rows: how many held-out rows every comparison uses.
        variant_scores: of every measured variant that is not eager. The scores of eager ones are on the leaderboard.
        comparisons: the best candidate that meets the constraints against each other one.
        baseline_comparisons: the winner against every baseline.
        winner_score: score of the winner, corrected for having been chosen on the rows that score it; null where there
            is no winner, or only one candidate.
        copied_rows: held-out rows that nearly repeat development rows; null where they are too few to matter.
        against_incumbent: winner minus incumbent; null without one, and where `not_comparable` says why not.
        incumbent_measurement: its cost on the same hardware; null where it is not needed, and where
            `incumbent_unmeasured` says why it could not be measured.
        withdrawn: models that were rolled back, by `identity`, each with a sentence that says by whom and why.
    """

    rule: str = "not-shown-worse"
    metric: str
    rows: int
    policy: SelectionConfig
    leaderboard: tuple[LeaderboardEntry, ...]
    comparisons: tuple[Comparison, ...]
    baseline_comparisons: tuple[Comparison, ...]
    measurements: tuple[Measurement, ...]
    variant_scores: tuple[VariantScore, ...] = ()
    winner_score: Interval | None = None
    copied_rows: CopiedRows | None = None
    incumbent: Incumbent | None
    against_incumbent: Comparison | None = None
    not_comparable: str = ""
    incumbent_measurement: Measurement | None = None
    incumbent_unmeasured: str = ""
    withdrawn: dict[str, str] = {}

    def score_of(self, entrant: str) -> Interval:
        return next(entry.test for entry in self.leaderboard if entry.entrant == entrant)


class ParetoPoint(Frozen):
    """A candidate that no other one beats on both quality and cost."""

    entrant: str
    variant: str | None
    score: float
    cost: float


class DecisionRecord(Record):
    """Whether the winner replaces the incumbent, and why.

    Artifact `incumbent_predictions`: the incumbent on these held-out rows, where it had to predict them first.

    Attributes:
        pareto: for each measured cost, the candidates on the front of test score and cost, cheapest first.
        evidence: what `podium.selection.decision.judge` made the verdict from.
    """

    kind: ClassVar[str] = "decision"
    verdict: Verdict
    winner: str | None
    winner_variant: str | None = None
    winner_model_key: str | None = None
    reasons: tuple[Reason, ...]
    incumbent: Incumbent | None
    registered: dict[str, str] = {}
    pareto: dict[str, tuple[ParetoPoint, ...]] = {}
    evidence: Evidence


class ReportRecord(Record):
    """The rendered report. Artifact `report`: `report.html`, `report.md`, `metrics.json`."""

    kind: ClassVar[str] = "report"
    summary: dict[str, Any]
