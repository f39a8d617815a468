"""Find out where the time of the winner goes."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def profile(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    measurements: dsl.Input[dsl.Artifact],
    decision: dsl.Input[dsl.Artifact],
    profile: dsl.Output[dsl.Artifact],
    page: dsl.Output[dsl.HTML],
):
    """Profile the winner in the form in which it is deployed.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        measurements: All measurements, from `benchmark`.
        decision: The verdict, from `decide`.
        profile: Phases, operators, kernels and findings; skipped where `profile.tools` is empty.
        page: The same as a page.
    """
    from podium.stages.profile import publish
    from podium.stages.steps import perform

    record = perform("profile", run.path, data.path, measurements.path, decision.path)
    profile.metadata.update(record.save(profile.path))
    publish(record, page.path)
