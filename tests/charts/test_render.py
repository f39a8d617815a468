"""What every way of installing the chart gives: helm's lint, the API's schemas, Pod Security, what objects share."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import kubernetes_validate
import kubernetes_validate.utils
import pytest

from .support import (
    CHART,
    CI,
    KUBERNETES,
    MANIFESTS,
    NAMESPACE,
    Manifest,
    against_restricted,
    helm,
    installed,
    kustomized,
    objects,
    of_kind,
    only,
    pod_specs,
    render,
    title,
)

EVERY_WAY = pytest.mark.parametrize("values", [None, *CI], ids=lambda path: path.stem if path else "defaults")
CLUSTER_WIDE = {"ClusterRole", "ClusterRoleBinding", "CustomResourceDefinition", "MutatingWebhookConfiguration"}
PODS_CONTAINERS = ("initContainers", "containers")
CUSTOM = {("kueue.x-k8s.io/v1beta2", "LocalQueue"), ("kueue.x-k8s.io/v1beta1", "LocalQueue")}
"""What Kubernetes has no schema of."""


@pytest.fixture(autouse=True, scope="module")
def schemas_are_read_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kubernetes_validate.utils, "schema_contents", cache(kubernetes_validate.utils.schema_contents))
        yield


def check(item: Manifest, version: str) -> None:
    """An error unless the API server of a Kubernetes version takes an object."""
    if (item["apiVersion"], item["kind"]) in CUSTOM:
        assert item["spec"].keys() == {"clusterQueue"}
    else:
        kubernetes_validate.validate(item, version, strict=True)


@EVERY_WAY
def test_helm_finds_nothing_to_complain_of(values: Path | None) -> None:
    done = helm("lint", "--strict", CHART, *(("--values", values) if values else ()))
    assert done.returncode == 0, done.stdout + done.stderr


@EVERY_WAY
@pytest.mark.parametrize("version", KUBERNETES)
def test_all_objects_are_what_kubernetes_takes(values: Path | None, version: str) -> None:
    for item in objects(render("--kube-version", version, values=values)):
        check(item, version)


@pytest.mark.parametrize("folder", sorted(MANIFESTS.glob("overlays/*/")), ids=lambda path: path.name)
def test_what_kustomize_gives_is_what_kubernetes_takes(folder: Path) -> None:
    for item in (found := kustomized(folder)):
        for version in KUBERNETES:
            check(item, version)
    assert {name: against_restricted(pod) for name, pod in pod_specs(found) if against_restricted(pod)} == {}


def test_an_older_kubernetes_is_refused() -> None:
    done = helm("template", "podium", CHART, "--kube-version", "1.30")
    assert "incompatible with Kubernetes v1.30" in done.stderr


@EVERY_WAY
def test_every_pod_meets_pod_security_restricted(values: Path | None) -> None:
    for name, pod in pod_specs(installed(values=values)):
        assert against_restricted(pod) == [], name
        assert pod["securityContext"]["runAsUser"] == 10001
        assert pod["enableServiceLinks"] is False
        mounted = {volume["name"] for volume in pod["volumes"]}
        for container in (*pod.get("initContainers", ()), *pod["containers"]):
            assert container["securityContext"]["readOnlyRootFilesystem"] is True
            assert {"name": "tmp", "mountPath": "/tmp"} in container["volumeMounts"]
            assert {mount["name"] for mount in container["volumeMounts"]} <= mounted
            assert container["resources"]["requests"].keys() >= {"cpu", "memory"}
            assert container["resources"]["limits"]["memory"] == container["resources"]["requests"]["memory"]


def test_a_cluster_may_choose_the_user_of_pods() -> None:
    for name, pod in pod_specs(installed("clusterUser=true", values=CHART / "ci" / "kubeflow-values.yaml")):
        assert against_restricted(pod) == [], name
        assert not pod["securityContext"].keys() & {"runAsUser", "runAsGroup", "fsGroup"}


def test_the_database_of_mlflow_is_upgraded_on_request_by_a_pod_like_the_server() -> None:
    def pod(*settings: str) -> Manifest:
        found: Manifest = only(installed(*settings), "Deployment")["spec"]["template"]["spec"]
        return found

    assert "initContainers" not in pod()
    for settings in ((), ("mlflow.database.existingSecret=db", "secrets={bucket}")):
        (first,), (server,) = (pod(*settings, "mlflow.database.upgrade=true")[name] for name in PODS_CONTAINERS)
        assert first["command"] == ["mlflow", "db", "upgrade", "$(MLFLOW_BACKEND_STORE_URI)"]
        for same in ("image", "env", "resources", "securityContext", "volumeMounts"):
            assert first[same] == server[same]
        assert first.get("envFrom") == server.get("envFrom")


def test_the_evaluator_finds_what_restricted_refuses() -> None:
    pod = {
        "hostNetwork": True,
        "volumes": [{"name": "node", "hostPath": {"path": "/"}}],
        "containers": [{"name": "a", "securityContext": {"privileged": True, "capabilities": {"add": ["SYS_ADMIN"]}}}],
    }
    found = " ".join(against_restricted(pod))
    for word in ("hostNetwork", "hostPath", "privileged", "allowPrivilege", "NonRoot", "seccomp", "drop", "add"):
        assert word in found


@EVERY_WAY
def test_objects_are_labelled_and_have_a_namespace(values: Path | None) -> None:
    found = installed(values=values)
    assert [name for name, count in Counter(map(title, found)).items() if count > 1] == []
    for item in found:
        labels = item["metadata"]["labels"]
        assert labels["app.kubernetes.io/instance"] == "podium"
        assert {f"app.kubernetes.io/{name}" for name in ("name", "component", "part-of", "version")} <= labels.keys()
        assert item["kind"] == "Namespace" or item["metadata"]["namespace"] in (NAMESPACE, "team-profiling")


@EVERY_WAY
def test_nothing_is_cluster_wide_and_no_rule_mentions_secrets(values: Path | None) -> None:
    found = installed(values=values)
    assert {item["kind"] for item in found} & CLUSTER_WIDE == set()
    assert of_kind(found, "Secret") == []
    for role in of_kind(found, "Role"):
        for rule in role["rules"]:
            assert set(rule["apiGroups"] + rule["resources"] + rule["verbs"]) & {"*", "secrets"} == set()


@pytest.mark.parametrize(
    ("values", "roles"),
    [("minimal", 0), ("schedule", 0), ("katib", 1), ("kubeflow", 1), ("profiling", 1)],
)
def test_there_is_a_role_only_where_something_asks_the_api_server(values: str, roles: int) -> None:
    found = installed(values=CHART / "ci" / f"{values}-values.yaml")
    assert len(of_kind(found, "Role")) == len(of_kind(found, "RoleBinding")) == roles
    tokens = {name: pod["automountServiceAccountToken"] for name, pod in pod_specs(found)}
    assert {name for name, token in tokens.items() if token} == (
        {title(item) for item in of_kind(found, "Job")} if values == "katib" else set()
    )
    assert all(item["automountServiceAccountToken"] is False for item in of_kind(found, "ServiceAccount"))


@EVERY_WAY
def test_claims_are_kept_on_uninstall_and_hooks_are_the_test_alone(values: Path | None) -> None:
    for item in installed(values=values):
        notes = item["metadata"].get("annotations", {})
        assert (item["kind"] == "PersistentVolumeClaim") == (notes.get("helm.sh/resource-policy") == "keep")
        assert (item["kind"] == "Pod") == (notes.get("helm.sh/hook") == "test")


def test_two_releases_in_one_namespace_share_no_object() -> None:
    values = CHART / "ci" / "katib-values.yaml"
    first, second = installed(values=values, release="a"), installed(values=values, release="b")
    assert {title(item) for item in first} & {title(item) for item in second} == set()
    service, other = only(first, "Service"), only(second, "Deployment")
    assert service["spec"]["selector"].items() - other["spec"]["template"]["metadata"]["labels"].items()


def test_what_serves_is_probed_and_may_be_evicted_one_at_a_time() -> None:
    found = installed()
    deployment, budget, service = only(found, "Deployment"), only(found, "PodDisruptionBudget"), only(found, "Service")
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "http"}
    labels = deployment["spec"]["template"]["metadata"]["labels"].items()
    assert budget["spec"]["maxUnavailable"] == 1
    for selector in (budget["spec"]["selector"]["matchLabels"], service["spec"]["selector"]):
        assert selector.items() <= labels


def test_network_policies_leave_open_what_is_needed() -> None:
    policies = {
        item["metadata"]["name"]: item["spec"]
        for item in of_kind(installed("run.enabled=true", "run.data.path=/data"), "NetworkPolicy")
    }
    run, mlflow = policies["podium-run"], policies["podium-mlflow"]
    ports = [[port["port"] for port in rule["ports"]] for rule in run["egress"]]
    assert ports == [[53, 53, 5353, 5353], [443, 6443], [5000]]
    assert "ingress" not in run
    assert mlflow["ingress"][0]["from"] == [{"podSelector": {}}]
    external = installed(values=CHART / "ci" / "external-mlflow-values.yaml")
    (policy,) = of_kind(external, "NetworkPolicy")
    assert policy["spec"]["egress"][-1] == {"ports": [{"port": 8080, "protocol": "TCP"}]}
    assert of_kind(installed("networkPolicy.enabled=false"), "NetworkPolicy") == []


def test_no_pod_gets_a_sidecar_of_istio() -> None:
    for item in installed(values=CHART / "ci" / "kubeflow-values.yaml"):
        if item["kind"] in ("Deployment", "Job", "Pod"):
            pod = item["spec"].get("template", item)
            assert pod["metadata"]["labels"]["sidecar.istio.io/inject"] == "false", title(item)


def test_every_pod_is_covered_by_a_policy() -> None:
    for values in CI:
        found = installed(values=values)
        chosen = [item["spec"]["podSelector"].get("matchLabels", {}) for item in of_kind(found, "NetworkPolicy")]
        owners = [item for item in found if item["kind"] in ("Deployment", "Job", "Pod")]
        for item in owners:
            labels = item.get("spec", {}).get("template", item)["metadata"]["labels"]
            asks = item["kind"] != "Pod" or of_kind(found, "Deployment")
            assert not asks or any(one and one.items() <= labels.items() for one in chosen), (values.stem, title(item))


def test_what_is_profiled_is_reached_by_nobody() -> None:
    found = of_kind(installed(values=CHART / "ci" / "profiling-values.yaml"), "NetworkPolicy")
    (policy,) = (item for item in found if item["metadata"]["namespace"] == "team-profiling")
    assert policy["spec"]["podSelector"] == {"matchExpressions": [{"key": "podium/key", "operator": "Exists"}]}
    assert "ingress" not in policy["spec"] and policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_trials_reach_store_and_katib_and_are_reached_by_their_own_nodes_alone() -> None:
    found = of_kind(installed(values=CHART / "ci" / "katib-values.yaml"), "NetworkPolicy")
    (policy,) = (item["spec"] for item in found if item["metadata"]["name"] == "podium-trial")
    labels = {"name": "podium", "instance": "podium", "component": "trial"}
    trials = {"podSelector": {"matchLabels": {f"app.kubernetes.io/{name}": value for name, value in labels.items()}}}
    assert policy["podSelector"] == trials["podSelector"] and policy["ingress"] == [{"from": [trials]}]
    ports = [port["port"] for rule in policy["egress"] for port in rule.get("ports", ())]
    assert {443, 6443, 6789, 6788} <= {*ports}
    assert {"to": [trials]} in policy["egress"]


def test_mlflow_answers_to_the_names_of_its_service() -> None:
    (container,) = only(installed("mlflow.allowedHosts={mlflow.example}"), "Deployment")["spec"]["template"]["spec"][
        "containers"
    ]
    (hosts,) = [part for part in container["command"] if part.startswith("--allowed-hosts=")]
    for host in ("podium-mlflow:5000", "podium-mlflow.team.svc.cluster.local:5000", "localhost:*", "mlflow.example"):
        assert host in hosts.removeprefix("--allowed-hosts=").split(",")


def test_kueue_of_an_earlier_version_gets_its_own_api() -> None:
    values = CHART / "ci" / "kueue-values.yaml"
    assert only(installed(values=values), "LocalQueue")["apiVersion"] == "kueue.x-k8s.io/v1beta2"
    old = objects(render("--api-versions", "kueue.x-k8s.io/v1beta1", values=values))
    assert only(old, "LocalQueue")["apiVersion"] == "kueue.x-k8s.io/v1beta1"
    assert only(old, "Job")["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "podium"


def test_an_upgrade_changes_objects_in_place_and_replaces_the_job_alone() -> None:
    """What the API server would not change stays: selectors, claims, and the names of all but the Job."""
    values = CHART / "ci" / "minimal-values.yaml"
    before = {title(item): item for item in installed("schedule.enabled=true", values=values)}
    changes = ("image.tag=next", "run.config.hpo.max_trials=3", "nodePools.cpu.cpu=4", "mlflow.memory=3Gi")
    after = {title(item): item for item in installed("schedule.enabled=true", *changes, values=values)}
    (gone,), (new,) = before.keys() - after.keys(), after.keys() - before.keys()
    assert gone.startswith("Job team/podium-run-")
    assert new.startswith("Job team/podium-run-")
    for name in before.keys() & after.keys():
        old, now = before[name], after[name]
        if old["kind"] == "PersistentVolumeClaim":
            assert old["spec"] == now["spec"]
        elif old["kind"] == "Deployment":
            assert old["spec"]["selector"] == now["spec"]["selector"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ("minimal", ["kubectl logs -n team -f -l app.kubernetes.io/instance=podium", "svc/podium-mlflow 5000"]),
        ("katib", ["kubectl label namespace team katib.kubeflow.org/metrics-collector-injection=enabled"]),
        ("schedule", ["kubectl create job -n team --from=cronjob/podium podium-now"]),
        ("kubeflow", ["kubectl create configmap -n team reviews --from-file=reviews.csv", "--set run.enabled=true"]),
    ],
)
def test_the_notes_say_what_to_do_next_and_what_is_kept(values: str, words: list[str]) -> None:
    file = CHART / "ci" / f"{values}-values.yaml"
    done = helm("install", "podium", CHART, "--namespace", NAMESPACE, "--dry-run=client", "--values", file)
    assert done.returncode == 0, done.stderr
    notes = done.stdout.split("NOTES:")[1]
    assert [word for word in words if word not in notes] == []
    claims = [item["metadata"]["name"] for item in of_kind(installed(values=file), "PersistentVolumeClaim")]
    assert bool(claims) == ("helm uninstall" in notes)
    assert [claim for claim in claims if claim not in notes.split("`helm uninstall` keeps")[1]] == []
