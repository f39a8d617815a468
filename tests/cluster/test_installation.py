"""The chart on the cluster that KUBECONFIG names: installed, changed, looked at with its own rights, and taken away.

Needs the right to create namespaces and whatever the chart holds. Pods are only waited for where a node is ready; an
API server with its controllers is enough for the rest.
"""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.cluster.client import (
    ACCESS_REVIEW,
    INJECTION_LABEL,
    JOB,
    NAMESPACE,
    POD,
    VOLUME_CLAIM,
    Cluster,
    Kind,
    Manifest,
    name_of,
)
from podium.cluster.doctor import RIGHTS, examine, leftovers
from podium.config.compose import compose
from podium.errors import ClusterError
from tests.charts.support import CHART, objects, pod_specs, tool
from tests.support import eventually

pytestmark = pytest.mark.integration

RELEASE = "podium"
VALUES = CHART / "ci" / "katib-values.yaml"
CLASS = ("--set", "volume.storageClass=")
KINDS = {
    "ConfigMap": Kind("ConfigMap", "v1", "configmaps"),
    "Deployment": Kind("Deployment", "apps/v1", "deployments"),
    "Job": JOB,
    "NetworkPolicy": Kind("NetworkPolicy", "networking.k8s.io/v1", "networkpolicies"),
    "PersistentVolumeClaim": VOLUME_CLAIM,
    "PodDisruptionBudget": Kind("PodDisruptionBudget", "policy/v1", "poddisruptionbudgets"),
    "Role": Kind("Role", "rbac.authorization.k8s.io/v1", "roles"),
    "RoleBinding": Kind("RoleBinding", "rbac.authorization.k8s.io/v1", "rolebindings"),
    "Service": Kind("Service", "v1", "services"),
    "ServiceAccount": Kind("ServiceAccount", "v1", "serviceaccounts"),
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A namespace of its own, which enforces Pod Security `restricted`."""
    if not os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names no cluster")
    client = Cluster.connect(f"podium-test-{uuid.uuid4().hex[:8]}")
    try:
        client.get(NAMESPACE, "default")
    except ClusterError as error:
        pytest.skip(f"the cluster cannot be reached: {error}")
    labels = {"pod-security.kubernetes.io/enforce": "restricted", INJECTION_LABEL: "enabled"}
    metadata = {"name": client.namespace, "labels": labels}
    client.create(NAMESPACE, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    account = KINDS["ServiceAccount"]
    eventually(lambda: client.get(account, "default") is not None)
    yield client
    client.delete(NAMESPACE, client.namespace)


@pytest.fixture(scope="module")
def installed(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> list[Manifest]:
    """The objects of the chart, installed."""
    reviews = tmp_path_factory.mktemp("data") / "reviews.csv"
    reviews.write_text("text,label\ngood,a\nbad,b\n")
    kubectl(cluster, "create", "configmap", "reviews", f"--from-file={reviews}")
    helm(cluster, "install", RELEASE, CHART, "--values", VALUES, *CLASS)
    return objects(helm(cluster, "get", "manifest", RELEASE))


def helm(cluster: Cluster, *arguments: object) -> str:
    return run(tool("helm"), "--namespace", cluster.namespace, *arguments)


def kubectl(cluster: Cluster, *arguments: object) -> str:
    return run(tool("kubectl"), "--namespace", cluster.namespace, *arguments)


def run(*command: object) -> str:
    done = subprocess.run([str(one) for one in command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def jobs_of_runs(cluster: Cluster) -> list[Manifest]:
    return cluster.find(JOB, f"app.kubernetes.io/instance={RELEASE},app.kubernetes.io/component=run")


def allowed(cluster: Cluster, group: str, resource: str, verb: str, namespace: str) -> bool:
    plural, _, subresource = resource.partition("/")
    attributes = {"namespace": namespace, "group": group, "resource": plural, "verb": verb}
    attributes |= {"subresource": subresource} if subresource else {}
    attributes |= {"name": namespace} if plural == "namespaces" else {}
    review = {"apiVersion": ACCESS_REVIEW.api_version, "kind": ACCESS_REVIEW.name, "metadata": {"name": ""}}
    answer = cluster.create(ACCESS_REVIEW, {**review, "spec": {"resourceAttributes": attributes}})
    return bool(answer["status"]["allowed"])


def test_everything_is_taken_by_the_api_server(cluster: Cluster, installed: list[Manifest]) -> None:
    assert {item["kind"] for item in installed} <= set(KINDS)
    for item in installed:
        assert cluster.get(KINDS[item["kind"]], name_of(item)) is not None, name_of(item)
    assert len(jobs_of_runs(cluster)) == 1


def test_the_pods_are_admitted_where_restricted_is_enforced(cluster: Cluster, installed: list[Manifest]) -> None:
    seen = 0
    for title, spec in pod_specs(installed):
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"tried-{seen}"}, "spec": spec}
        cluster.create(POD, pod, dry_run=True)
        seen += 1
        assert title
    assert seen >= 2
    loose = {"containers": [{"name": "main", "image": "x", "securityContext": {"privileged": True}}]}
    with pytest.raises(ClusterError, match="violates PodSecurity"):
        cluster.create(
            POD, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "loose"}, "spec": loose}, dry_run=True
        )


def test_the_service_account_may_do_what_podium_does_and_nothing_else(
    cluster: Cluster, installed: list[Manifest]
) -> None:
    (account,) = {item["subjects"][0]["name"] for item in installed if item["kind"] == "RoleBinding"}
    own = Cluster.connect(cluster.namespace, account)
    for rights in RIGHTS.values():
        for (group, resource), verbs in rights.items():
            for verb in verbs:
                assert allowed(own, group, resource, verb, cluster.namespace), (resource, verb)
                assert not allowed(own, group, resource, verb, "default"), (resource, verb)
    for group, resource, verb in (
        ("", "secrets", "get"),
        ("", "secrets", "list"),
        ("", "pods", "create"),
        ("", "pods/exec", "create"),
        ("batch", "jobs", "patch"),
        ("rbac.authorization.k8s.io", "roles", "create"),
        ("kubeflow.org", "trials", "create"),
    ):
        assert not allowed(own, group, resource, verb, cluster.namespace), (resource, verb)
    with pytest.raises(ClusterError) as refused:
        own.find(Kind("Secret", "v1", "secrets"))
    assert refused.value.status == 403


def test_the_doctor_sees_it_with_the_rights_of_the_service_account(
    cluster: Cluster, installed: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (account,) = {item["subjects"][0]["name"] for item in installed if item["kind"] == "RoleBinding"}
    katib = ("hpo.engine=katib", "hpo.parallel_trials=2", "cluster=cpu", "cluster.image=podium:1", "tracking.mode=off")
    place = f"cluster.namespace={cluster.namespace}"
    command = ["doctor", "--preset", "smoke", "--service-account", account, "--output", "json", *katib, place]
    found = {one["name"]: one for one in json.loads(CliRunner().invoke(app, command).output)}
    assert found["Kubernetes"]["status"] == "ok" and found["Kubernetes"]["text"].startswith("v")
    assert {one["status"] for name, one in found.items() if name.startswith("right to")} == {"ok"}
    assert found["namespace"]["status"] == "ok"
    # Nodes and pods of other namespaces are none of its business.
    assert found["node pools"]["status"] == found["pod of a trial"]["status"] == "skipped"
    settings = compose(["preset=smoke", *katib, place], tmp_path).config
    own = {one.name: one for one in examine(settings, cluster)}
    assert own["pod of a trial"].status == "ok", own["pod of a trial"].text


def test_another_config_is_another_job_and_the_same_one_stays(cluster: Cluster, installed: list[Manifest]) -> None:
    (before,) = jobs_of_runs(cluster)
    helm(cluster, "upgrade", RELEASE, CHART, "--values", VALUES, *CLASS)
    assert [name_of(job) for job in jobs_of_runs(cluster)] == [name_of(before)]
    helm(cluster, "upgrade", RELEASE, CHART, "--values", VALUES, *CLASS, "--set", "run.config.hpo.max_trials=3")
    eventually(lambda: len(jobs_of_runs(cluster)) == 1)
    assert name_of(jobs_of_runs(cluster)[0]) != name_of(before)


def test_a_claim_that_exists_gets_no_other_access_modes(cluster: Cluster, installed: list[Manifest]) -> None:
    changed = ("--set", "volume.accessModes={ReadWriteOnce}", "--set", "store.uri=s3://bucket/podium")
    with pytest.raises(AssertionError, match=r"volume\.accessModes must be those of the claim podium"):
        helm(cluster, "upgrade", RELEASE, CHART, "--values", VALUES, *CLASS, *changed)


def test_taken_away_it_leaves_the_claims_that_hold_data_and_says_so(
    cluster: Cluster, installed: list[Manifest]
) -> None:
    helm(cluster, "uninstall", RELEASE)
    claims = {name_of(item) for item in installed if item["kind"] == "PersistentVolumeClaim"}
    mine = f"app.kubernetes.io/instance={RELEASE}"
    others = [kind for name, kind in KINDS.items() if name != "PersistentVolumeClaim"]
    eventually(lambda: not any(cluster.find(kind, mine) for kind in others))
    assert {name_of(item) for item in cluster.find(VOLUME_CLAIM)} == claims
    assert set(leftovers(cluster)) == {f"PersistentVolumeClaim {cluster.namespace}/{name}" for name in claims}
