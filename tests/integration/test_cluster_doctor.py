"""What `podium doctor` finds, against an API server over real HTTP: each lack is named with what mends it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from podium.cli.app import app
from podium.cluster import doctor
from podium.cluster.client import INJECTION_LABEL, Cluster
from podium.cluster.doctor import Finding, examine
from podium.cluster.doctor_profiling import examine_profiling
from podium.config.compose import compose
from podium.config.schema import PodiumConfig
from tests.integration.kube.engine import connected
from tests.integration.kube.server import ApiServer, Refused

pytestmark = pytest.mark.integration

KATIB = ("hpo.engine=katib", "cluster=gpu", "cluster.image=podium:1", "hpo.parallel_trials=2", "store=memory://doctor")
GPU = {"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "1"}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.create("namespaces", "", {"metadata": {"name": "team", "labels": {INJECTION_LABEL: "enabled"}}})
        node(server, "cpu-1", cpu="8", memory="32Gi")
        node(server, "gpu-1", taint={"key": "nvidia.com/gpu", "effect": "NoSchedule"}, **GPU)
        yield server


def node(api: ApiServer, name: str, taint: dict[str, str] | None = None, **there: str) -> None:
    spec = {"taints": [taint]} if taint else {}
    api.create("nodes", "", {"metadata": {"name": name}, "spec": spec, "status": {"allocatable": there}})


def config(tmp_path: Path, *overrides: str) -> PodiumConfig:
    return compose(["preset=smoke", "tracking.mode=off", *overrides], tmp_path).config


def found(cluster: Cluster, settings: PodiumConfig) -> dict[str, Finding]:
    return {finding.name: finding for finding in examine(settings, cluster)}


def test_a_cluster_that_has_everything(api: ApiServer, tmp_path: Path) -> None:
    seen = found(connected(api, "team"), config(tmp_path, *KATIB))
    assert not [one for one in seen.values() if one.status == "failed"]
    left_out = {name for name, finding in seen.items() if finding.status == "skipped"}
    assert left_out == {"Kubeflow Trainer", "Kueue", "MLflow"}
    assert seen["pool gpu"].text == "1 of 2 nodes, 1 of them with room now"
    assert not [one for one in api.requests if one[0] != "GET" and "reviews" not in one[1] and "dryRun" not in one[2]]


@pytest.mark.parametrize(
    ("lack", "name", "text", "remedy"),
    [
        (lambda api: api.uninstalled.add("experiments"), "Katib", "no experiments of kubeflow.org", "install Katib"),
        (lambda api: api.denied.add(("", "events", "list")), "right to events", "list", "--resource=events"),
        (
            lambda api: api.denied.add(("kubeflow.org", "trials", "delete")),
            "right to trials",
            "delete",
            "--verb=delete --resource=trials.kubeflow.org",
        ),
        (lambda api: api.delete("namespaces", "", "team"), "namespace", "does not exist", "create namespace team"),
        (
            lambda api: api.patch("namespaces", "", "team", {"metadata": {"labels": {INJECTION_LABEL: None}}}),
            "namespace",
            "lacks the label",
            f"kubectl label namespace team {INJECTION_LABEL}=enabled",
        ),
        (lambda api: api.delete("nodes", "", "gpu-1"), "pool gpu", "no node that it may use has", "cluster.pools.gpu"),
    ],
)
def test_each_lack_is_named_with_what_mends_it(
    api: ApiServer, tmp_path: Path, lack: Any, name: str, text: str, remedy: str
) -> None:
    lack(api)
    failed = {key: one for key, one in found(connected(api, "team"), config(tmp_path, *KATIB)).items() if one.remedy}
    assert set(failed) == {name} and failed[name].status == "failed"
    assert text in failed[name].text and remedy in failed[name].remedy


@pytest.mark.parametrize(
    ("words", "remedy"),
    [
        ('violates PodSecurity "restricted:latest"', "correct cluster.image"),
        ("failed quota: team: must specify limits.cpu for: main", "a LimitRange with a default"),
        ("exceeded quota: team, requested: requests.cpu=1, used: 8, limited: 8", "wait for room in the quota"),
    ],
)
def test_a_pod_that_admission_refuses(api: ApiServer, tmp_path: Path, words: str, remedy: str) -> None:
    def refuse(pod: Any, old: Any) -> None:
        raise Refused(403, "Forbidden", f'pods "podium-doctor" is forbidden: {words}')

    api.checks["pods"] = refuse
    seen = found(connected(api, "team"), config(tmp_path, *KATIB))["pod of a trial"]
    assert seen.status == "failed" and words in seen.text and remedy in seen.remedy
    assert "give the service account" not in seen.text, "no right is missing"
    assert api.list("pods", "team") == []


@pytest.mark.parametrize(
    ("state", "status", "text"),
    [
        ({"terminated": {"exitCode": 0}}, "ok", "podium:1 was pulled and started within"),
        (
            {"waiting": {"reason": "ErrImagePull", "message": "not found"}},
            "failed",
            "podium:1: ErrImagePull: not found",
        ),
        ({"waiting": {"reason": "ContainerCreating"}}, "failed", "podium:1 was not pulled within 0.2 s"),
    ],
)
def test_a_pod_that_is_deleted_again_says_whether_the_image_can_be_pulled(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: Any, status: str, text: str
) -> None:
    monkeypatch.setattr(doctor, "OBSTACLE_SECONDS", 0.0)
    monkeypatch.setattr(doctor, "_POLL_SECONDS", 0.02)

    def schedule(pod: Any, old: Any) -> None:
        pod["status"] = {"phase": "Pending", "containerStatuses": [{"name": "main", "state": state}]}

    api.checks["pods"] = schedule
    seen = doctor.pulled(connected(api, "team"), config(tmp_path, *KATIB), seconds=0.2)
    assert seen.status == status and seen.text.startswith(text), seen
    assert api.list("pods", "team") == []


@pytest.mark.parametrize(
    ("pool", "text"),
    [
        ("{selector: {zone: z}}", "no node has the labels {'zone': 'z'}"),
        ("{cpu: '64'}", "no node that it may use has as much as a pod requests: cpu=64, memory="),
        ("{device: nvidia.com/gpu}", "no node that it may use has as much"),
        ("{device: nvidia.com/gpu, tolerations: ['nvidia.com/gpu=x']}", "no node that it may use has as much"),
        ("{device: nvidia.com/gpu, devices: 2, tolerations: [nvidia.com/gpu]}", "no node that it may use has as much"),
    ],
)
def test_a_pool_that_no_node_fits(api: ApiServer, tmp_path: Path, pool: str, text: str) -> None:
    seen = found(connected(api, "team"), config(tmp_path, f"cluster.pools={{mine: {pool}}}"))["pool mine"]
    assert seen.status == "failed" and text in seen.text


def test_a_pool_that_is_too_large_is_told_the_largest_node_and_where_to_lower_it(
    api: ApiServer, tmp_path: Path
) -> None:
    seen = found(connected(api, "team"), config(tmp_path, "cluster.pools={mine: {cpu: '64', memory: 4Gi}}"))[
        "pool mine"
    ]
    assert seen.text.endswith("the largest gives pods cpu=8, memory=32Gi")
    assert "--set nodePools.mine.cpu=1" in seen.remedy and "--pool mine.cpu=1" in seen.remedy


def test_a_pod_that_waits_is_explained(api: ApiServer, tmp_path: Path) -> None:
    unfit = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": "1 Insufficient cpu"}
    for name, status in (("pending", {"conditions": [unfit]}), ("running", {"phase": "Running"})):
        labels = {"app.kubernetes.io/name": "podium"}
        metadata = {"name": name, "labels": labels}
        api.create("pods", "team", {"metadata": metadata, "spec": {}, "status": {"phase": "Pending", **status}})
    seen = found(connected(api, "team"), config(tmp_path))
    assert "Pod team/running" not in seen
    assert seen["Pod team/pending"].text == "does not start: Unschedulable: 1 Insufficient cpu"
    assert "--set nodePools.POOL.cpu=1" in seen["Pod team/pending"].remedy


@pytest.mark.parametrize(("served", "version"), [({"v1beta1"}, "v1beta1"), ({"v1beta1", "v1beta2"}, "v1beta2")])
def test_kueue_is_asked_in_the_version_that_it_serves(served: set[str], version: str) -> None:
    cluster: Any = SimpleNamespace(serves=lambda kind: kind.api_version.partition("/")[2] in served)
    assert doctor._queue_kind(cluster).api_version == f"kueue.x-k8s.io/{version}"


def test_taints_that_a_pool_does_not_tolerate_are_named(api: ApiServer, tmp_path: Path) -> None:
    api.delete("nodes", "", "cpu-1")
    tainted = config(tmp_path, "cluster.pools={mine: {cpu: '1'}}")
    seen = found(connected(api, "team"), tainted)["pool mine"]
    assert seen.text.endswith("has a taint that it does not tolerate: nvidia.com/gpu:NoSchedule")
    api.delete("nodes", "", "gpu-1")
    assert found(connected(api, "team"), tainted)["pool mine"].text == "the cluster has no node"


def test_room_is_what_running_pods_leave(api: ApiServer, tmp_path: Path) -> None:
    requests = {"requests": {"cpu": "3500m", "memory": "1Gi"}}
    for name, phase in (("runs", "Running"), ("ended", "Succeeded")):
        spec = {"nodeName": "cpu-1", "containers": [{"name": "main", "resources": requests}]}
        api.create("pods", "", {"metadata": {"name": name}, "spec": spec, "status": {"phase": phase}})
    seen = found(connected(api, "team"), config(tmp_path, "cluster.pools={mine: {cpu: '5', memory: 4Gi}}"))["pool mine"]
    assert (seen.status, seen.text) == ("ok", "1 of 2 nodes, 0 of them with room now")


def test_the_command_ends_with_one_where_something_fails(
    api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = {"name": "x", "context": {"cluster": "x", "user": "x", "namespace": "team"}}
    users = [{"name": "x", "user": {}}]
    clusters = [{"name": "x", "cluster": {"server": api.url}}]
    kubeconfig = {"current-context": "x", "contexts": [context], "clusters": clusters, "users": users}
    (tmp_path / "config").write_text(yaml.safe_dump(kubeconfig))
    monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    command = ["doctor", "--preset", "smoke", "tracking.mode=off", *KATIB]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert "ok      Kubernetes            v1.36.3" in done.output
    api.denied.add(("batch", "jobs", "create"))
    done = CliRunner().invoke(app, [*command, "--output", "json"])
    assert done.exit_code == 1
    failed = [one for one in json.loads(done.output) if one["status"] == "failed"]
    assert [one["name"] for one in failed] == ["right to jobs"] and "--verb=create" in failed[0]["remedy"]

    assert CliRunner().invoke(app, ["doctor", "--leftovers"]).output == "nothing in team\n"
    api.create("jobs", "team", {"metadata": {"name": "left", "labels": {"podium/key": "k"}}})
    done = CliRunner().invoke(app, ["doctor", "--leftovers"])
    assert (done.exit_code, done.output) == (1, "Job team/left\n")


PROFILE = ("profile.tools=[ncu]", "profile.mode=privileged-job", "profile.image=profiler:1")


def profiling(api: ApiServer, tmp_path: Path, *overrides: str) -> dict[str, Finding]:
    settings = config(tmp_path, *PROFILE, *overrides)
    return {finding.name: finding for finding in examine_profiling(settings, connected(api, "team"))}


def test_a_profile_in_a_job_needs_a_namespace_that_allows_its_capability(api: ApiServer, tmp_path: Path) -> None:
    label = "pod-security.kubernetes.io/enforce"
    for name, standard in (("open", "privileged"), ("closed", "restricted")):
        api.create("namespaces", "", {"metadata": {"name": name, "labels": {label: standard}}})
    seen = profiling(api, tmp_path, "profile.namespace=open")
    assert {one.status for one in seen.values()} == {"ok"}
    assert "profiling: right to jobs" in seen and "profiling: image" in seen
    closed = profiling(api, tmp_path, "profile.namespace=closed")["profiling"]
    assert closed.status == "failed" and closed.remedy == f"kubectl label namespace closed {label}=privileged"
    assert "profiling.enabled=true" in profiling(api, tmp_path, "profile.namespace=none")["profiling"].remedy
    assert "profile.namespace is not set" in profiling(api, tmp_path)["profiling"].text
    assert not profiling(api, tmp_path, "profile.mode=kfp-task")
