"""The graph of Podium: prepare, baselines, search and refit per backbone, select, benchmark, decide, report."""

from kfp import dsl

from podium.components.data_processing.prepare.component import prepare
from podium.components.deployment.decide.component import decide
from podium.components.evaluation.benchmark.component import benchmark
from podium.components.evaluation.report.component import report
from podium.components.evaluation.select.component import select
from podium.components.training.baseline.component import baseline
from podium.components.training.hpo.component import hpo
from podium.components.training.refit.component import refit


@dsl.pipeline(name="champion", description="Given a labelled data set, which model do I ship?")
def champion(
    run_preset: str = "quickstart",
    run_config: str = "",
    run_mode: str = "",
    run_overrides: list[str] = [],  # noqa: B006  (KFP reads the default from the signature)
    run_store: str = "",
    run_tracking_uri: str = "",
    data_path: str = "",
    data_task: str = "",
    data_text_column: str = "",
    data_label_column: str = "",
    model_backbones: list[str] = [],  # noqa: B006
    hpo_max_trials: int = 0,
):
    """Take a labelled data set to a proven champion.

    Args:
        run_preset: Preset to start from.
        run_config: YAML file of config values, applied over the preset.
        run_mode: `reuse` (default: reuse what exists) or `force_new`.
        run_overrides: Further config values, each `group.key=value`.
        run_store: URI of the artifact store.
        run_tracking_uri: URI of the MLflow server.
        data_path: Data of your own, a file or a folder that the step can read; its format and columns are inferred.
        data_task: `text-classification` or `ner`; inferred when empty.
        data_text_column: Column of the text; inferred when empty.
        data_label_column: Column of the label; inferred when empty.
        model_backbones: Backbones that compete: paths or hub ids.
        hpo_max_trials: Trials per backbone; 0 leaves it to the preset.
    """
    prepared = prepare(
        run_preset=run_preset,
        run_config=run_config,
        run_mode=run_mode,
        run_overrides=run_overrides,
        run_store=run_store,
        run_tracking_uri=run_tracking_uri,
        data_path=data_path,
        data_task=data_task,
        data_text_column=data_text_column,
        data_label_column=data_label_column,
        model_backbones=model_backbones,
        hpo_max_trials=hpo_max_trials,
        kfp_run_id=dsl.PIPELINE_JOB_ID_PLACEHOLDER,
    )
    run, data = prepared.outputs["run"], prepared.outputs["data"]
    beside = baseline(run=run, data=data)
    with dsl.ParallelFor(prepared.outputs["Output"], name="backbones") as backbone:
        searched = hpo(backbone=backbone, run=run, data=data)
        refitted = refit(run=run, data=data, study=searched.outputs["study"])

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
    reported = report(
        run=run,
        data=data,
        studies=studies(),
        models=models(),
        selection=selected.outputs["selection"],
        measurements=measured.outputs["measurements"],
        decision=decided.outputs["decision"],
    )
    # Podium decides what is reused, by content; KFP's cache would hand over another run's identities.
    for task in (prepared, beside, searched, refitted, selected, measured, decided, reported):
        task.set_caching_options(False)
