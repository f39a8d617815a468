"""The graph of Podium: prepare, baseline, search and refit per entrant, select, benchmark, decide, curve, profile,
report.

Where the results of all steps are stored, `reuse` shows the answer instead, in one pod. Whatever becomes of the graph,
`close` ends what the run left open in MLflow.
"""

from kfp import dsl

from podium.components.data_processing.prepare.component import prepare
from podium.components.deployment.close.component import close
from podium.components.deployment.decide.component import decide
from podium.components.evaluation.benchmark.component import benchmark
from podium.components.evaluation.curve.component import curve
from podium.components.evaluation.profile.component import profile
from podium.components.evaluation.report.component import report
from podium.components.evaluation.reuse.component import reuse
from podium.components.evaluation.select.component import select
from podium.components.training.baseline.component import baseline
from podium.components.training.hpo.component import hpo
from podium.components.training.refit.component import refit
from podium.config.form import RunForm, takes_forms
from podium.config.pods import PodForm
from podium.pipelines.placement import place
from podium.stages.steps import STEPS

CLOSING = ("run_preset", "run_config", "run_overrides", "run_tracking_uri")
"""The fields of the run form that say where the run is recorded."""


def _compute(prepared, pods):
    """The steps after `prepare` and `plan`, each on its pool."""
    run, data = prepared.outputs["run"], prepared.outputs["data"]
    beside = baseline(run=run, data=data)
    with dsl.ParallelFor(prepared.outputs["entrants"], name="entrants") as entrant:
        searched = hpo(entrant=entrant, run=run, data=data)
        refitted = refit(entrant=entrant, run=run, data=data, study=searched.outputs["study"])

    # A Collected belongs to the task that reads it: kfp 2.17 fails to compile one that is shared.
    def studies() -> dsl.Collected:
        return dsl.Collected(searched.outputs["study"])

    def models() -> dsl.Collected:
        return dsl.Collected(refitted.outputs["model"])

    selected = select(run=run, baselines=beside.outputs["baselines"], studies=studies(), models=models())
    measured = benchmark(run=run, data=data, selection=selected.outputs["selection"], models=models())
    decided = decide(
        run=run,
        data=data,
        baselines=beside.outputs["baselines"],
        selection=selected.outputs["selection"],
        measurements=measured.outputs["measurements"],
        models=models(),
    )
    learned = curve(run=run, data=data, studies=studies(), decision=decided.outputs["decision"])
    profiled = profile(
        run=run,
        data=data,
        measurements=measured.outputs["measurements"],
        decision=decided.outputs["decision"],
    )
    reported = report(
        run=run,
        data=data,
        plan=prepared.outputs["plan"],
        baselines=beside.outputs["baselines"],
        studies=studies(),
        models=models(),
        selection=selected.outputs["selection"],
        measurements=measured.outputs["measurements"],
        decision=decided.outputs["decision"],
        learning_curve=learned.outputs["learning_curve"],
        profile=profiled.outputs["profile"],
    )
    tasks = {
        "baseline": beside,
        "hpo": searched,
        "refit": refitted,
        "select": selected,
        "benchmark": measured,
        "decide": decided,
        "curve": learned,
        "profile": profiled,
        "report": reported,
    }
    for step in STEPS:
        if step.name in tasks:
            place(tasks[step.name], step.pool, pods)


@dsl.pipeline(name="champion", description="Given a labelled data set, which model do I ship?")
@takes_forms(RunForm, PodForm)
def champion(form, pods):
    """Take a labelled data set to a proven champion."""
    run_id = dsl.PIPELINE_JOB_ID_PLACEHOLDER
    closed = close(**{name: form[name] for name in CLOSING}, kfp_run_id=run_id)
    place(closed, "cpu", pods)
    with dsl.ExitHandler(closed):
        prepared = prepare(**form, kfp_run_id=run_id)
        # Bad input fails in `prepare`, and a second look at it changes nothing.
        place(prepared, "cpu", pods, retries=0)
        with dsl.If(prepared.outputs["stored"] == False, name="compute"):  # noqa: E712
            _compute(prepared, pods)
        with dsl.Else(name="reuse"):
            reused = reuse(**{name: prepared.outputs[name] for name in ("run", "data", "plan")})
            place(reused, "cpu", pods)
