"""Train the best trial of a study again on all development data."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def refit(
    entrant: str,
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    study: dsl.Input[dsl.Artifact],
    model: dsl.Output[dsl.Model],
):
    """Refit the best trial on train and validation rows, and score it on the held-out test rows.

    Args:
        entrant: Name of the entrant in the config.
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        study: The study, from `hpo`.
        model: The refitted model and its held-out predictions; or why the entrant failed.
    """
    from podium.stages.steps import artifact_uris, perform

    record = perform("refit", run.path, data.path, study.path, entrant=entrant)
    model.metadata.update(record.save(model.path) | artifact_uris(run.path, record))
