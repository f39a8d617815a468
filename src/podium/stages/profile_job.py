"""Where the second stage of a profile runs: in this pod, or in a Job of its own on the cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from podium.cluster.client import Cluster
from podium.cluster.jobs import Jobs
from podium.config.profile import ProfileConfig
from podium.errors import PodiumError
from podium.profiling.capture import DeepProfile, SecondStage
from podium.profiling.job import ADVICE, Mode, nothing, profile_on_cluster
from podium.profiling.workload import Workload
from podium.stages.on_cluster import check_reachable
from podium.stages.step import StepRun


def second_stage(step: StepRun) -> SecondStage | None:
    """What runs the second stage of a step as `profile.mode` says; None for this process.

    A cluster that cannot be reached, or does not let the Job run, degrades the profile and does not fail the run.
    """
    mode = step.config.profile.mode
    if mode == "kfp-task":
        return None
    chosen: Mode = mode

    def in_job(workload: Workload, directory: Path, wanted: ProfileConfig) -> DeepProfile:
        settings = step.config.cluster
        given: dict[str, Any] = {"namespace": wanted.namespace, "service_account": wanted.service_account}
        if wanted.namespace is not None:  # a claim of the run's namespace cannot be mounted in another one
            given |= {"volume_claim": None, "volume_path": None}
        config = settings.model_copy(update={**given, "image": wanted.image or settings.image})
        try:
            check_reachable(step.store.uri, config, f"profile.mode={mode}")
            if config.image is None:
                return nothing(
                    wanted, f"profile.mode={mode} needs an image", "set profile.image=REGISTRY/podium-profiler"
                )
            jobs = Jobs(Cluster.connect(wanted.namespace), ADVICE, start_seconds=settings.start_seconds)
        except PodiumError as error:
            return nothing(wanted, str(error))
        key = step.key.digest
        return profile_on_cluster(chosen, workload, directory, wanted, step.store, config, jobs, key)

    return in_job
