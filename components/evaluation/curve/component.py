"""Find out whether more rows would make the winner better."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def curve(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    studies: dsl.Input[list[dsl.Artifact]],
    decision: dsl.Input[dsl.Artifact],
    learning_curve: dsl.Output[dsl.Artifact],
):
    """Cross-validate the winner on nested shares of the rows, and extrapolate its score to twice the rows.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        studies: All studies, from `hpo`.
        decision: The verdict, from `decide`.
        learning_curve: The scores by number of rows; skipped where `learning_curve.fractions` is empty.
    """
    from podium.stages.steps import perform

    record = perform("curve", run.path, data.path, [item.path for item in studies], decision.path)
    learning_curve.metadata.update(record.save(learning_curve.path))
