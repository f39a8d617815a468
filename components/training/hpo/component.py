"""Search the hyperparameters of one entrant."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def hpo(entrant: str, run: dsl.Input[dsl.Artifact], data: dsl.Input[dsl.Dataset], study: dsl.Output[dsl.Artifact]):
    """Search the hyperparameters of one entrant by k-fold cross-validation.

    Args:
        entrant: Name of the entrant in the config.
        run: The run, from `prepare`.
        data: The data set, from `prepare`.
        study: Every trial, and the best one; or why the entrant failed.
    """
    from podium.stages.steps import perform

    record = perform("hpo", run.path, data.path, entrant=entrant)
    study.metadata.update(record.save(study.path))
