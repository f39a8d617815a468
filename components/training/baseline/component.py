"""Score what every entrant must beat."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def baseline(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    baselines: dsl.Output[dsl.Artifact],
):
    """Score the majority class of train and validation rows on the held-out test rows.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        baselines: The baseline and its held-out predictions.
    """
    from podium.stages.steps import perform

    record = perform("baseline", run.path, data.path)
    baselines.metadata.update(record.save(baselines.path))
