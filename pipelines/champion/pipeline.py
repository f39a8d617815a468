"""The graph of Podium: prepare, baseline, search and refit per entrant, select, benchmark, decide, curve, report."""

from kfp import dsl

from podium.components.data_processing.prepare.component import prepare
from podium.components.deployment.decide.component import decide
from podium.components.evaluation.benchmark.component import benchmark
from podium.components.evaluation.curve.component import curve
from podium.components.evaluation.report.component import report
from podium.components.evaluation.select.component import select
from podium.components.training.baseline.component import baseline
from podium.components.training.hpo.component import hpo
from podium.components.training.refit.component import refit
from podium.config.form import takes_run_form


@dsl.pipeline(name="champion", description="Given a labelled data set, which model do I ship?")
@takes_run_form
def champion(**form):
    """Take a labelled data set to a proven champion."""
    prepared = prepare(**form, kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER)
    run, data = prepared.outputs["run"], prepared.outputs["data"]
    beside = baseline(run=run, data=data)
    with dsl.ParallelFor(prepared.outputs["Output"], name="entrants") as entrant:
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
    )
    # Podium decides what is reused, by content; KFP's cache would hand over another run's identities.
    for task in (prepared, beside, searched, refitted, selected, measured, decided, learned, reported):
        task.set_caching_options(False)
