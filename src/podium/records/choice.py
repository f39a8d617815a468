"""The records of selection, benchmark, decision and report, and the evidence behind a decision."""

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
        runner_up: the best trial against the second best of its study; null where too few folds allow no test.
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
        difference: of the two scores. The interval is of this comparison alone.
        p_value: two-sided, of no difference, of this comparison alone.
        p_adjusted: Holm's, over the comparisons that were made together; null for a comparison made alone.
        measurably_worse: by the adjusted p-value where there is one, otherwise by the p-value.
        measurably_better: likewise.
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
    """A baseline as the leaderboard shows it. It is never a candidate."""

    name: str
    test: Interval
    seconds: float


class SelectionRecord(Record):
    """Champions per backbone, ranked, with the comparisons behind the ranking.

    Attributes:
        rows: how many held-out rows there are.
        comparisons: the best champion against each other one, on the held-out rows.
        baselines: best first.
        baseline_comparisons: every champion against every baseline.
        fold_tests: the best champion against each other one, on the folds that chose their trials.
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
        variants: every variant of every champion that the config names, with the reason where it was not measured.
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
    """Everything that a decision follows from, so that it can be made again.

    Candidates are variants, called `BACKBONE (VARIANT)` in comparisons, and are compared by their own predictions.

    Attributes:
        rows: how many held-out rows every comparison uses.
        variant_scores: of every measured variant that is not eager. The scores of eager ones are on the leaderboard.
        comparisons: the best candidate that meets the constraints against each other one.
        baseline_comparisons: the winner against every baseline.
        against_incumbent: winner minus incumbent; null where there is no incumbent or no comparison is possible.
        not_comparable: why the incumbent could not be compared; otherwise empty.
        incumbent_measurement: its cost on the same hardware; null where it is not needed or could not be measured.
        incumbent_unmeasured: why the incumbent could not be measured; otherwise empty.
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
