"""Write the report of the run."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def report(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    baselines: dsl.Input[dsl.Artifact],
    studies: dsl.Input[list[dsl.Artifact]],
    models: dsl.Input[list[dsl.Model]],
    selection: dsl.Input[dsl.Artifact],
    measurements: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    learning_curve: dsl.Input[dsl.Artifact],
    profile: dsl.Input[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    predictions: dsl.Output[dsl.Dataset],
):
    """Render one self-contained page, a Markdown summary, and metrics for the KFP UI.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        plan: The plan, from `prepare`.
        baselines: The baseline, from `baseline`.
        studies: All studies, from `hpo`.
        models: All refitted models, from `refit`.
        selection: The leaderboard, from `select`.
        measurements: The measurements, from `benchmark`.
        decision: The verdict, from `decide`.
        learning_curve: Whether more rows would help, from `curve`.
        profile: Where the time of the winner goes, from `profile`.
        page: The report as one HTML page.
        summary: The report in short, as Markdown.
        metrics: The winner's figures.
        confusion: What the winner predicts for rows of each label, where a row has one label.
        predictions: The winner's answers to the rows of `dataset.predict_path`, as CSV; no file without such rows.
    """
    from podium.local.unlabelled import publish_predictions
    from podium.stages.report import publish
    from podium.stages.steps import perform

    found = [item.path for item in studies], [item.path for item in models]
    last = selection.path, measurements.path, decision.path, learning_curve.path, profile.path
    record = perform("report", run.path, data.path, plan.path, baselines.path, *found, *last)
    publish(run.path, record, page, summary, metrics, confusion)
    publish_predictions(run.path, record, predictions.path)
