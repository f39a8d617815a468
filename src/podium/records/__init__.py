"""What one step hands to the next: frozen, typed, JSON both ways, schema-versioned.

A record is small and names its large payloads (data, weights, predictions, raw samples) by the digest
under which the store keeps them.
"""

from podium.records.base import (
    ArtifactRef,
    Frozen,
    How,
    Interval,
    Move,
    Record,
    Scalar,
    identity,
    refit_of,
    rollback_target,
    withdrawn,
)
from podium.records.choice import (
    RULE,
    BaselineEntry,
    BenchmarkRecord,
    Comparison,
    CopiedRows,
    DecisionRecord,
    Evidence,
    Figure,
    FoldTest,
    LeaderboardEntry,
    Measurement,
    MeasurementRecord,
    ParetoPoint,
    Reason,
    ReportRecord,
    ScenarioResult,
    SelectionRecord,
    VariantScore,
    Verdict,
)
from podium.records.curve import CurvePoint, CurveRecord, CurveValue
from podium.records.inputs import (
    Baseline,
    BaselineRecord,
    DataRecord,
    FailedEntrant,
    Incumbent,
    ModelRecord,
    Observed,
    PreparedData,
    Report,
    RunRecord,
    StoppingRule,
    StudyRecord,
    TrialRecord,
    TrialStatus,
    Variant,
    VariantCheck,
    VariantRecord,
)
from podium.records.labels import LabelCheck, LabelIssue, LabelPair, LabelReview
from podium.records.plan import Pace, PlanRecord
from podium.records.profile import (
    Attempt,
    Finding,
    Kernel,
    Module,
    Observer,
    Operator,
    Outcome,
    Permission,
    Phase,
    ProfileRecord,
    Roofline,
    RooflinePoint,
)

RECORDS: dict[str, type[Record]] = {record.kind: record for record in Record.__subclasses__()}
"""Record classes by kind."""
