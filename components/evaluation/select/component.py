"""Rank the champions of all entrants."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def select(
    run: dsl.Input[dsl.Artifact],
    baselines: dsl.Input[dsl.Artifact],
    studies: dsl.Input[list[dsl.Artifact]],
    models: dsl.Input[list[dsl.Model]],
    selection: dsl.Output[dsl.Artifact],
):
    """Choose the champion of each entrant, and compare them with each other and the baseline on the same held-out rows.

    Args:
        run: The run, from `prepare`.
        baselines: The baseline, from `baseline`.
        studies: All studies, from `hpo`.
        models: All refitted models, from `refit`.
        selection: The leaderboard and the comparisons behind it.
    """
    from podium.stages.steps import perform

    paths = [item.path for item in studies], [item.path for item in models]
    record = perform("select", run.path, baselines.path, *paths)
    selection.metadata.update(record.save(selection.path))
