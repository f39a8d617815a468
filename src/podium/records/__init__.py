"""What one step hands to the next: frozen, typed, JSON both ways, schema-versioned.

A record is small and names its large payloads (data, weights, predictions, raw samples) by the digest
under which the store keeps them.
"""

from podium.records.base import (
    ArtifactRef,
    Frozen,
    Interval,
    Record,
    Scalar,
    identity,
    refit_of,
)
from podium.records.choice import (
    BaselineEntry,
    BenchmarkRecord,
    Comparison,
    DecisionRecord,
    Evidence,
    FoldTest,
    LeaderboardEntry,
    ParetoPoint,
    Reason,
    ReportRecord,
    SelectionRecord,
    VariantScore,
    Verdict,
)
from podium.records.inputs import (
    Baseline,
    BaselineRecord,
    DataRecord,
    Incumbent,
    ModelRecord,
    RunRecord,
    StudyRecord,
)
from podium.records.measurement import (
    Figure,
    Measurement,
    MeasurementRecord,
    Quantile,
    ScenarioResult,
)
from podium.records.moves import Move, withdrawn
from podium.records.trials import (
    Observed,
    Report,
    StoppingRule,
    TrialRecord,
    TrialStatus,
)
from podium.records.variants import (
    Variant,
    VariantCheck,
    VariantRecord,
    VariantStatus,
)

RECORDS: dict[str, type[Record]] = {
    record.kind: record
    for record in (
        RunRecord,
        DataRecord,
        BaselineRecord,
        StudyRecord,
        ModelRecord,
        SelectionRecord,
        VariantRecord,
        MeasurementRecord,
        BenchmarkRecord,
        DecisionRecord,
        ReportRecord,
    )
}
"""Record classes by kind."""
