"""Last of all, however the pipeline ended: end what it left open in MLflow."""

from kfp import dsl

from podium.config.pods import IMAGE


@dsl.component(base_image=IMAGE, install_kfp_package=False)
def close(
    status: dsl.PipelineTaskFinalStatus,
    run_preset: str = "",
    run_config: str = "",
    run_overrides: list[str] = [],  # noqa: B006  (KFP reads the default from the signature)
    run_tracking_uri: str = "",
    kfp_run_id: str = "",
):
    """End the runs in MLflow that a failed or cancelled pipeline left running.

    Args:
        status: How the pipeline ended.
        run_preset: As in the run form.
        run_config: As in the run form.
        run_overrides: As in the run form.
        run_tracking_uri: As in the run form.
        kfp_run_id: Id of the Kubeflow run, by which its runs in MLflow are found.
    """
    form = dict(locals())
    from podium.config.form import RunForm
    from podium.stages.prepare import close as end

    end(RunForm.of(form), kfp_run_id, status.state)
