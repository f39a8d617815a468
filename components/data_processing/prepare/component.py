"""First step: compose the config, read, check, split and fingerprint the data, and plan the run."""

from typing import NamedTuple

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(
    run: dsl.Output[dsl.Artifact],
    data: dsl.Output[dsl.Dataset],
    plan: dsl.Output[dsl.Artifact],
    run_preset: str = "",
    run_config: str = "",
    run_time_limit: str = "",
    run_mode: str = "",
    run_overrides: list[str] = [],  # noqa: B006  (KFP reads the default from the signature)
    run_store: str = "",
    run_tracking_uri: str = "",
    data_path: str = "",
    data_task: str = "",
    data_text_column: str = "",
    data_label_column: str = "",
    model_entrants: list[str] = [],  # noqa: B006
    hpo_max_trials: int = 0,
    kfp_run_id: str = "",
) -> NamedTuple("Prepared", [("entrants", list[str]), ("stored", bool)]):
    """Resolve the configuration, prepare the data set, and plan the run.

    The other parameters are those of the run form.

    Args:
        run: The run: its resolved config and identities.
        data: The prepared data set: splits, folds, fingerprint.
        plan: What the data and the time limit decided.
        kfp_run_id: Id of the Kubeflow run, kept as a tag.

    Returns:
        Names of the competing entrants, and whether the results of all other steps are stored.
    """
    form = dict(locals())
    from podium.config.form import RunForm
    from podium.stages.prepare import prepare as stage

    run_record, data_record, plan_record, stored = stage(RunForm.of(form), kfp_run_id)
    run.metadata.update(run_record.save(run.path))
    data.metadata.update(data_record.save(data.path))
    plan.metadata.update(plan_record.save(plan.path))
    return list(run_record.config.entrants), stored
