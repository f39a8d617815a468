"""Measure what would be deployed."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def benchmark(
    run: dsl.Input[dsl.Artifact],
    data: dsl.Input[dsl.Dataset],
    selection: dsl.Input[dsl.Artifact],
    models: dsl.Input[list[dsl.Model]],
    measurements: dsl.Output[dsl.Artifact],
):
    """Measure latency, throughput and memory of every champion in fresh processes.

    Args:
        run: The run, from `prepare`.
        data: The data set, from `prepare`: its rows are the requests.
        selection: The champions, from `select`.
        models: All refitted models, from `refit`.
        measurements: The measurements, each with its interval.
    """
    from podium.stages.steps import perform

    record = perform("benchmark", run.path, data.path, selection.path, [item.path for item in models])
    measurements.metadata.update(record.save(measurements.path))
