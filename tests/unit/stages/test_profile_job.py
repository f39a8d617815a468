from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.config.cluster import ClusterConfig
from podium.config.profile import ProfileConfig
from podium.errors import ClusterError
from podium.profiling.capture import DeepProfile
from podium.stages import profile_job
from tests.unit.profiling.fake_tools import workload

SHARED = {"volume_claim": "podium", "volume_path": "/podium"}


def step(uri: str = "s3://bucket/podium", image: str | None = "podium:1", **profile: Any) -> Any:
    cluster = ClusterConfig(image=image, **SHARED)
    config = SimpleNamespace(profile=ProfileConfig(tools=("nsys", "ncu"), **profile), cluster=cluster)
    return SimpleNamespace(config=config, store=SimpleNamespace(uri=uri), key=SimpleNamespace(digest="k" * 64))


def run(given: Any, folder: Path) -> DeepProfile:
    stage = profile_job.second_stage(given)
    assert stage is not None
    return stage(workload(folder), folder / "profile", given.config.profile)


def test_by_default_the_tools_run_in_the_pod_of_the_step() -> None:
    assert profile_job.second_stage(step()) is None


def test_the_job_has_image_namespace_and_account_of_profiling(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(profile_job.Cluster, "connect", lambda namespace: namespace)
    monkeypatch.setattr(profile_job, "profile_on_cluster", lambda *given: seen.extend(given))
    names = {"namespace": "team-profiling", "service_account": "podium-profiling"}
    given = step(mode="privileged-job", **names)
    run(given, tmp_path)
    mode, _, _, _, store, config, jobs, key = seen
    assert (mode, store.uri, key, jobs.cluster) == ("privileged-job", "s3://bucket/podium", "k" * 64, "team-profiling")
    assert (config.image, config.namespace, config.service_account) == ("podium:1", *names.values())


def test_a_cluster_out_of_reach_degrades_the_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(namespace: str | None) -> None:
        raise ClusterError("no cluster is in reach")

    monkeypatch.setattr(profile_job.Cluster, "connect", refused)
    for given, said in (
        (step(mode="privileged-job"), "no cluster is in reach"),
        (step(mode="privileged-job", image=None), "needs an image"),
        (
            step(uri="/podium/store", mode="privileged-job", namespace="other"),
            "profile.mode=privileged-job the store must",
        ),
        (step(uri="/home/me/podium-out", mode="nsight-operator"), "with profile.mode=nsight-operator the store must"),
    ):
        found = run(given, tmp_path)
        assert found.status == "degraded" and said in found.tools[0].reason and found.tools[0].remedy
