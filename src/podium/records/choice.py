"""What is chosen, and the evidence for it: selection, measurements, decision, report."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from podium.config.selection import SelectionConfig
from podium.records.base import Frozen, Interval, Record
from podium.records.inputs import Incumbent
from podium.records.measurement import Measurement
from podium.records.variants import Variant

Verdict = Literal["PROMOTE", "HOLD", "REJECT"]


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
        runner_up: the best trial against the second best of its study; null where folds do not tell.
    """

    backbone: str
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
        difference: with its interval, which looks at this comparison alone, as does
        p_value: two-sided, of no difference.
        p_adjusted: Holm's, over the comparisons it was made with; null for one made alone.
        measurably_worse: by the adjusted p-value, where there is one; as is `measurably_better`.
    """

    reference: str
    challenger: str
    metric: str
    difference: Interval
    p_value: float
    p_adjusted: float | None = None
    measurably_worse: bool
    measurably_better: bool = False


class BaselineEntry(Frozen):
    """A baseline's place on the leaderboard: never a candidate."""

    name: str
    test: Interval
    seconds: float


class SelectionRecord(Record):
    """Champions per backbone, ranked, with the comparisons behind the ranking.

    Attributes:
        rows: held-out rows.
        baselines: best first; `baseline_comparisons` has every champion against each of them.
        comparisons: every champion but the best against the best.
        fold_tests: every champion but the best against the best, on the folds that chose them.
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


class BenchmarkRecord(Record):
    """Measurements of the champions on one piece of hardware; parents are the single measurements.

    Artifacts: `samples.BACKBONE.VARIANT`, raw latencies; `model.BACKBONE.VARIANT` and `predictions.BACKBONE.VARIANT`,
    the files and the held-out predictions of each variant that is `ok`.

    Attributes:
        variants: every variant of every champion that was asked for, with the reason where it was not measured.
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

    backbone: str
    variant: str
    test: Interval


class Evidence(Frozen):
    """All that a decision is made of: whoever has it can make the decision again.

    Candidates are variants, called `BACKBONE (VARIANT)` in comparisons, and are compared by their own predictions.

    Attributes:
        rows: held-out rows behind every comparison.
        variant_scores: of every measured variant but the eager ones, whose scores are on the leaderboard.
        comparisons: every candidate within the constraints against the best of them.
        baseline_comparisons: the winner against every baseline.
        against_incumbent: winner minus incumbent; null where there is nothing to compare, or
        not_comparable: says why the incumbent could not be compared.
        incumbent_measurement: on the hardware of the others; null where there is no need, or
        incumbent_unmeasured: says why it could not be measured.
        withdrawn: models that were rolled back, by `identity`, each with a sentence that says by whom and why.
    """

    metric: str
    rows: int
    policy: SelectionConfig
    leaderboard: tuple[LeaderboardEntry, ...]
    comparisons: tuple[Comparison, ...]
    baseline_comparisons: tuple[Comparison, ...]
    measurements: tuple[Measurement, ...]
    variant_scores: tuple[VariantScore, ...] = ()
    incumbent: Incumbent | None
    against_incumbent: Comparison | None = None
    not_comparable: str = ""
    incumbent_measurement: Measurement | None = None
    incumbent_unmeasured: str = ""
    withdrawn: dict[str, str] = {}


class ParetoPoint(Frozen):
    """A candidate that no other one beats on both quality and cost."""

    backbone: str
    variant: str | None
    score: float
    cost: float


class DecisionRecord(Record):
    """Whether the winner replaces the incumbent, and why.

    Artifact `incumbent_predictions`: the incumbent on these held-out rows, where it had to predict them first.

    Attributes:
        pareto: the front of test score against each measured cost, cheapest first.
        evidence: what the verdict follows from, by `podium.selection.decision.judge`.
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
