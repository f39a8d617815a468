"""Decide whether the winner replaces the incumbent."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def decide(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    baselines: dsl.Input[dsl.Artifact],
    selection: dsl.Input[dsl.Artifact],
    measurements: dsl.Input[dsl.Artifact],
    models: dsl.Input[list[dsl.Model]],
    decision: dsl.Output[dsl.Artifact],
):
    """Choose the winner, judge it against the incumbent, and move the registry alias on PROMOTE.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        baselines: The baseline and its predictions, from `baseline`.
        selection: The champions, from `select`.
        measurements: The measurements, from `benchmark`.
        models: All refitted models, from `refit`.
        decision: PROMOTE, HOLD or REJECT, with reasons.
    """
    from podium.stages.steps import perform

    refits = [item.path for item in models]
    record = perform("decide", run.path, data.path, baselines.path, selection.path, measurements.path, refits)
    decision.metadata.update(record.save(decision.path))
