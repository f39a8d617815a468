"""The steps of the graph, each described once.

The plan, the local runner, the tags of the parent run, the report and the KFP components read this table; a test
holds the KFP pipeline equal to it. A new step is a row here, a module with its `compute` function, its record, and
its KFP component.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from podium import records
from podium.keys import Key
from podium.stages import keys
from podium.stages.curve import skipped_curve
from podium.stages.hpo import is_complete, prior_trials
from podium.stages.plan import planned, skipped_plan
from podium.stages.profile import skipped_profile
from podium.stages.step import ENV_RUN_DIR, Step, StepInputs, execute, open_store
from podium.tracking import registry_state, tracker_for
from podium.tracking.base import TAG_KFP_RUN

KFP_RUNS = "kfp-runs"
"""Prefix of the documents that name the results of a Kubeflow run, each `ID.json`."""


def _data_key(inputs: StepInputs) -> Key:
    from podium.data.formats import fingerprint

    return keys.data_key(inputs.config, fingerprint(inputs.config.dataset))


def _study_key(inputs: StepInputs) -> Key:
    data = inputs.one(records.DataRecord)
    prior = prior_trials(open_store(inputs.config), inputs.config, data, inputs.entrant)
    identity = keys.identity_of(inputs.config, inputs.entrant)
    return keys.study_key(inputs.config, data, inputs.entrant, identity, prior)


def _refit_key(inputs: StepInputs) -> Key:
    identity = keys.identity_of(inputs.config, inputs.entrant)
    return keys.refit_key(inputs.config, inputs.one(records.DataRecord), inputs.one(records.StudyRecord), identity)


def _benchmark_key(inputs: StepInputs) -> Key:
    from podium.stages.benchmark import champions_of, hardware_of

    return keys.benchmark_key(
        inputs.config, inputs.one(records.DataRecord), champions_of(inputs), hardware_of(inputs.run)
    )


def _decision_key(inputs: StepInputs) -> Key:
    selection, benchmark = inputs.one(records.SelectionRecord), inputs.one(records.BenchmarkRecord)
    return keys.decision_key(inputs.run, selection, benchmark, judged_against(inputs))


def judged_against(inputs: StepInputs) -> records.Incumbent | None:
    """The incumbent of a decision: the champion the run began with, or the one that champion was itself judged
    against when it won on this very evidence."""
    run, incumbent = inputs.run, inputs.run.incumbent
    if incumbent is None or not incumbent.decision_key:
        return incumbent
    earlier = open_store(run.config).get(records.DecisionRecord, incumbent.decision_key)
    if earlier is None or earlier.verdict != "PROMOTE":
        return incumbent
    evidence = inputs.one(records.SelectionRecord), inputs.one(records.BenchmarkRecord)
    same = keys.decision_key(run, *evidence, earlier.incumbent).digest == earlier.key
    return earlier.incumbent if same else incumbent


def still_holds(run: records.RunRecord, decision: records.DecisionRecord) -> bool:
    """Whether a stored decision is still in force: a promotion that the registry has lost is carried out again.

    The champion is looked up anew where the run began with another one: a run beside this one may have promoted it.
    """
    if decision.verdict != "PROMOTE" or not decision.registered:
        return True

    def in_place(incumbent: records.Incumbent | None) -> bool:
        return incumbent is not None and incumbent.decision_key == decision.key

    return in_place(run.incumbent) or in_place(registry_state(run.config.tracking, run.config.model_name).incumbent)


STEPS = (
    Step("prepare", (), records.DataRecord, _data_key, "prepare:compute"),
    Step("plan", ("prepare",), records.PlanRecord, keys.plan_key, "plan:compute", skipped=skipped_plan),
    Step("baseline", ("prepare",), records.BaselineRecord, keys.baseline_key, "train:baseline"),
    Step("hpo", ("prepare",), records.StudyRecord, _study_key, "hpo:compute", True, is_complete, pool="search"),
    Step("refit", ("prepare", "hpo"), records.ModelRecord, _refit_key, "train:refit", True, pool="train"),
    Step("select", ("baseline", "hpo", "refit"), records.SelectionRecord, keys.selection_key, "select:compute"),
    Step(
        name="benchmark",
        inputs=("prepare", "select", "refit"),
        record=records.BenchmarkRecord,
        key=_benchmark_key,
        compute="benchmark:compute",
        pool="benchmark",
    ),
    Step(
        name="decide",
        inputs=("prepare", "baseline", "select", "benchmark", "refit"),
        record=records.DecisionRecord,
        key=_decision_key,
        compute="decide:decide",
        complete=still_holds,
    ),
    Step(
        name="curve",
        inputs=("prepare", "hpo", "decide"),
        record=records.CurveRecord,
        key=keys.curve_key,
        compute="curve:compute",
        skipped=skipped_curve,
        pool="train",
    ),
    Step(
        name="profile",
        inputs=("prepare", "benchmark", "decide"),
        record=records.ProfileRecord,
        key=keys.profile_key,
        compute="profile:compute",
        skipped=skipped_profile,
        pool="profile",
    ),
    Step(
        name="report",
        inputs=("prepare", "plan", "baseline", "hpo", "refit", "select", "benchmark", "decide", "curve", "profile"),
        record=records.ReportRecord,
        key=keys.report_key,
        compute="report:compute",
    ),
)

Node = tuple[Step, str]
"""A step and its entrant; the entrant is empty where the step runs once."""


def step_named(name: str) -> Step:
    """The row of the table with this name."""
    return next(step for step in STEPS if step.name == name)


def chains(entrants: Callable[[], Collection[str]]) -> Iterator[list[list[Node]]]:
    """The graph as groups that follow each other; the chains of a group are independent, one per entrant.

    Args:
        entrants: returns the names of the entrants, and is asked before every group: a plan may leave some out.
    """
    for per_entrant, steps in groupby(STEPS, key=lambda step: step.per_entrant):
        rows = list(steps)
        yield [[(step, entrant) for step in rows] for entrant in (entrants() if per_entrant else ("",))]


def nodes(entrants: Collection[str]) -> list[Node]:
    """Every step of a run, in an order in which each comes after its inputs."""
    return [node for group in chains(lambda: entrants) for chain in group for node in chain]


def input_titles(step: Step, entrant: str, entrants: Collection[str]) -> list[str]:
    """Titles of the steps that a step reads: of its own entrant, or of all of them where it gathers."""
    mine = [entrant] if step.per_entrant else entrants
    others = map(step_named, step.inputs)
    return [other.title(one) for other in others for one in (mine if other.per_entrant else [""])]


def inputs_of(step: Step, entrant: str, run: records.RunRecord, results: Mapping[str, records.Record]) -> StepInputs:
    """What a step works from, out of the records of a run by title; once there is a plan, with the planned config."""
    plan = results.get("plan")
    if isinstance(plan, records.PlanRecord):
        run = planned(run, plan)
    titles = input_titles(step, entrant, run.config.entrants)
    return StepInputs(run, tuple(results[title] for title in titles), entrant)


def perform(name: str, run: str, *inputs: str | Sequence[str], entrant: str = "") -> records.Record:
    """Do a step on records that lie in files, as the components of a pipeline get them.

    In a pod the last step also ends the parent run in MLflow; on a laptop the local runner does.

    Args:
        run: path of the run's record.
        inputs: paths of the records of `Step.inputs`, in their order; a list where the step gathers those of all
            entrants.
        entrant: of a step that runs once per entrant.
    """
    step = step_named(name)
    results: list[records.Record] = []
    for other, paths in zip(map(step_named, step.inputs), inputs, strict=True):
        results += [other.read(path) for path in ([paths] if isinstance(paths, str) else paths)]
    given = StepInputs(records.RunRecord.read(run), tuple(results), entrant)
    made = execute(step, given)
    if step is STEPS[-1]:
        _end_parent(given.run, [*results, made])
    return made


def reuse(run: str, data: str, plan: str) -> records.Record:
    """Read every result of a run, all of which are stored, and return that of the last step; all are given as paths."""
    record = records.RunRecord.read(run)
    found = {name: step_named(name).read(path) for name, path in (("prepare", data), ("plan", plan))}
    for step, entrant in nodes(record.config.entrants):
        if (title := step.title(entrant)) not in found:
            found[title] = execute(step, inputs_of(step, entrant, record, found))
    _end_parent(record, found.values())
    return found[STEPS[-1].title()]


def _end_parent(run: records.RunRecord, results: Collection[records.Record]) -> None:
    """In a pod, name the results at the parent run in MLflow, and end it; note them for those who know of KFP's run."""
    if ENV_RUN_DIR not in os.environ:
        note_results(run, results)
        tracker, parent = tracker_for(run.config.tracking), run.mlflow_run_id or ""
        tracker.set_tags(parent, result_tags(results))
        tracker.close(parent, "FINISHED")


def note_results(run: records.RunRecord, results: Collection[records.Record]) -> None:
    """Note in the store what a Kubeflow run came to, for those who know of the run only its id."""
    if kfp_run_id := run.tags.get(TAG_KFP_RUN):
        keys_of = {title_of(one): one.key for one in results if not isinstance(one, records.FailedEntrant)}
        verdict = next(one.verdict for one in results if isinstance(one, records.DecisionRecord))
        note = {"verdict": verdict, "results": keys_of}
        open_store(run.config).documents(KFP_RUNS).put(f"{kfp_run_id}.json", json.dumps(note, indent=1))


def note_predictions(run: records.RunRecord, predictions: records.ArtifactRef) -> None:
    """Add the winner's answers to rows without labels to what is noted of a Kubeflow run."""
    if not (kfp_run_id := run.tags.get(TAG_KFP_RUN)):
        return
    notes, name = open_store(run.config).documents(KFP_RUNS), f"{kfp_run_id}.json"
    if (text := notes.get(name)) is not None:
        notes.put(name, json.dumps({**json.loads(text), "predictions": predictions.model_dump(mode="json")}, indent=1))


def artifact_uris(run: str, record: records.Record) -> dict[str, str]:
    """Where the artifacts of a record lie, as metadata of the KFP artifact; `run` is the path of the run's record."""
    store = open_store(records.RunRecord.read(run).config)
    return {f"podium_uri_{role}": store.files_uri(one) for role, one in record.artifacts.items()}


def title_of(record: records.Record) -> str:
    """Title of the step that made a record: `select`, `hpo-minilm`."""
    (step,) = (step for step in STEPS if step.record is type(record))
    return step.title(getattr(record, "entrant", ""))


def result_tags(results: Iterable[records.Record]) -> dict[str, str]:
    """Tags of the parent run: the key of every result, by title of its step, and why an entrant failed, by its name."""
    tags = {}
    for one in results:
        if isinstance(one, records.FailedEntrant):
            tags[f"podium.failed.{one.entrant}"] = one.error
        else:
            tags[f"podium.result.{title_of(one)}"] = one.key
    return tags
