"""First step: compose the config, then read, check, split and fingerprint the data."""

from kfp import dsl

from podium.components.image import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def prepare(
    run: dsl.Output[dsl.Artifact],
    data: dsl.Output[dsl.Dataset],
    run_preset: str = "quickstart",
    run_config: str = "",
    run_mode: str = "",
    run_overrides: list[str] = [],  # noqa: B006  (KFP reads the default from the signature)
    run_store: str = "",
    run_tracking_uri: str = "",
    data_path: str = "",
    data_task: str = "",
    data_text_column: str = "",
    data_label_column: str = "",
    model_backbones: list[str] = [],  # noqa: B006
    hpo_max_trials: int = 0,
    kfp_run_id: str = "",
) -> list[str]:
    """Resolve the configuration and prepare the data set.

    Args:
        run: The run: its resolved config and identities.
        data: The prepared data set: splits, folds, fingerprint.
        run_preset: Preset to start from.
        run_config: YAML file of config values, applied over the preset.
        run_mode: `reuse` (default: reuse what exists) or `force_new`.
        run_overrides: Further config values, each `group.key=value`.
        run_store: URI of the artifact store.
        run_tracking_uri: URI of the MLflow server.
        data_path: Data of your own, a file or a folder that the step can read; its format and columns are inferred.
        data_task: `text-classification` or `ner`; inferred when empty.
        data_text_column: Column of the text; inferred when empty.
        data_label_column: Column of the label; inferred when empty.
        model_backbones: Backbones that compete: paths or hub ids.
        hpo_max_trials: Trials per backbone.
        kfp_run_id: Id of the Kubeflow run, kept as a tag.

    Returns:
        Names of the competing backbones.
    """
    from podium.stages.prepare import prepare as stage
    from podium.stages.run_form import RunForm

    form = RunForm(
        run_preset=run_preset,
        run_config=run_config,
        run_mode=run_mode,
        run_overrides=tuple(run_overrides),
        run_store=run_store,
        run_tracking_uri=run_tracking_uri,
        data_path=data_path,
        data_task=data_task,
        data_text_column=data_text_column,
        data_label_column=data_label_column,
        model_backbones=tuple(model_backbones),
        hpo_max_trials=hpo_max_trials,
    )
    run_record, data_record = stage(form, kfp_run_id)
    run.metadata.update(run_record.save(run.path))
    data.metadata.update(data_record.save(data.path))
    return list(run_record.config.backbones)
