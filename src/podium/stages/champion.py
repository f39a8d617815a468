"""The champion that a decision is judged against, and whether an earlier decision still holds."""

from __future__ import annotations

from podium.records import BenchmarkRecord, DecisionRecord, Incumbent, RunRecord, SelectionRecord
from podium.stages.keys import decision_key
from podium.stages.step import open_store
from podium.tracking import registry_state


def still_holds(run: RunRecord, decision: DecisionRecord) -> bool:
    """Whether a stored decision is still in force: a promotion that the registry has lost is carried out again.

    The champion is looked up anew where the run began with another one: a run beside this one may have promoted it.
    """
    if decision.verdict != "PROMOTE" or not decision.registered or _put_in_place(decision, run.incumbent):
        return True
    return _put_in_place(decision, registry_state(run.config.tracking, run.config.model_name).incumbent)


def _put_in_place(decision: DecisionRecord, incumbent: Incumbent | None) -> bool:
    return incumbent is not None and incumbent.decision_key == decision.key


def judged_against(run: RunRecord, selection: SelectionRecord, benchmark: BenchmarkRecord) -> Incumbent | None:
    """The incumbent of this decision: the champion the run began with, or the one that champion was itself judged
    against when it won on this very evidence."""
    incumbent = run.incumbent
    if incumbent is None or not incumbent.decision_key:
        return incumbent
    earlier = open_store(run.config).get(DecisionRecord, incumbent.decision_key)
    if earlier is None or earlier.verdict != "PROMOTE":
        return incumbent
    same = decision_key(run, selection, benchmark, earlier.incumbent).digest == earlier.key
    return earlier.incumbent if same else incumbent
