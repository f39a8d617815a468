"""Hand on an answer that is stored in whole, in one pod instead of one for every step."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def reuse(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    plan: dsl.Input[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
    summary: dsl.Output[dsl.Markdown],
    metrics: dsl.Output[dsl.Metrics],
    confusion: dsl.Output[dsl.ClassificationMetrics],
    predictions: dsl.Output[dsl.Dataset],
):
    """Show the report of a run whose results are all stored.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        plan: The plan, from `prepare`.
        page: The report as one HTML page.
        summary: The report in short, as Markdown.
        metrics: The winner's figures.
        confusion: What the winner predicts for rows of each label, where a row has one label.
        predictions: The winner's answers to the rows of `dataset.predict_path`, as CSV; no file without such rows.
    """
    from podium.local.unlabelled import publish_predictions
    from podium.stages.report import publish
    from podium.stages.steps import reuse as reuse_all

    record = reuse_all(run.path, data.path, plan.path)
    publish(run.path, record, page, summary, metrics, confusion)
    publish_predictions(run.path, record, predictions.path)
