"""What the pods of trials get from the pod that creates them."""

from __future__ import annotations

import logging
from typing import Any

import kubernetes_validate
import pytest

from podium.cluster.client import Cluster
from podium.cluster.inherited import Inherited, inherited
from podium.cluster.manifests import job_manifest
from podium.config.cluster import ClusterConfig
from podium.errors import ClusterError
from podium.hpo.engines.katib.experiments import trial_job

TOKEN = {"name": "HF_TOKEN", "valueFrom": {"secretKeyRef": {"name": "hub", "key": "HF_TOKEN", "optional": True}}}
ENDPOINT = {"name": "AWS_ENDPOINT_URL", "value": "http://store:9000"}
TAINT = {"key": "team", "operator": "Exists"}
CHART = {"app.kubernetes.io/name": "podium", "app.kubernetes.io/instance": "team"}
POD: dict[str, Any] = {
    "metadata": {"labels": {**CHART, "app.kubernetes.io/component": "run", "batch.kubernetes.io/job-name": "run"}},
    "spec": {
        "serviceAccountName": "runs",
        "imagePullSecrets": [{"name": "registry"}],
        "nodeSelector": {"pool": "search"},
        "tolerations": [TAINT, {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
        "containers": [
            {"name": "istio-proxy", "env": [{"name": "PROXY", "value": "1"}]},
            {
                "name": "main",
                "env": [
                    {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                    {"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}},
                    {"name": "MLFLOW_RUN_ID", "value": "7"},
                    {"name": "XDG_CACHE_HOME", "value": "/podium/cache"},
                    ENDPOINT,
                    TOKEN,
                    {"name": "PODIUM_STORE", "value": "mine"},
                ],
                "envFrom": [
                    {"secretRef": {"name": "store"}},
                    {"configMapRef": {"name": "metadata-grpc-configmap", "optional": True}},
                ],
            },
        ],
    },
}


def template_of_a_trial(**config: Any) -> dict[str, Any]:
    given = Inherited.of(POD, "KFP_POD_NAME")
    job = trial_job(ClusterConfig.model_validate({"image": "podium:1", **config}), {"PODIUM_STORE": "s3://b"}, given)
    manifest = job_manifest(job)
    manifest["metadata"]["name"] = "trial"
    kubernetes_validate.validate(manifest, "1.32", strict=True)
    template: dict[str, Any] = manifest["spec"]["template"]
    return template


def of_a_trial(**config: Any) -> dict[str, Any]:
    spec: dict[str, Any] = template_of_a_trial(**config)["spec"]
    return spec


def test_a_trial_is_labelled_as_part_of_the_same_installation() -> None:
    labels = template_of_a_trial()["metadata"]["labels"]
    assert labels.items() >= {**CHART, "app.kubernetes.io/component": "trial"}.items()
    assert "batch.kubernetes.io/job-name" not in labels
    assert Inherited.of({**POD, "metadata": {}}, "KFP_POD_NAME").labels == {}


def test_the_pod_of_a_trial_gets_what_the_pod_of_the_step_was_given() -> None:
    pod = of_a_trial(secrets=["store", "own"])
    (container,) = pod["containers"]
    assert container["env"] == [ENDPOINT, TOKEN, {"name": "PODIUM_STORE", "value": "s3://b"}]
    assert [one["secretRef"]["name"] for one in container["envFrom"]] == ["store", "own"]
    assert pod["serviceAccountName"] == "runs"
    assert pod["imagePullSecrets"] == [{"name": "registry"}]
    assert (pod["nodeSelector"], pod["tolerations"]) == ({"pool": "search"}, [TAINT])


def test_what_the_config_names_takes_precedence() -> None:
    pod = of_a_trial(service_account="trials", pools={"gpu": {"selector": {"pool": "gpu"}}}, trial_pool="gpu")
    assert pod["serviceAccountName"] == "trials"
    assert pod["nodeSelector"] == {"pool": "gpu"}
    assert "tolerations" not in pod


def test_the_entries_of_a_secret_have_the_names_that_they_have_here() -> None:
    source = {"secretRef": {"name": "store", "optional": True}, "prefix": "TEAM_"}
    pod = {"metadata": {}, "spec": {"containers": [{"name": "main", "envFrom": [source]}]}}
    job = trial_job(ClusterConfig(image="podium:1"), {}, Inherited.of(pod, "KFP_POD_NAME"))
    (container,) = job_manifest(job)["spec"]["template"]["spec"]["containers"]
    assert container["envFrom"] == [source]


def test_secrets_that_a_train_job_cannot_take_are_named(caplog: pytest.LogCaptureFixture) -> None:
    given, several = Inherited.of(POD, "KFP_POD_NAME"), {"trial_nodes": 2, "runtime": "torch-distributed"}
    job = trial_job(ClusterConfig.model_validate({"image": "podium:1", **several}), {"PODIUM_STORE": "s3://b"}, given)
    manifest = job_manifest(job)
    assert (manifest["kind"], "envFrom" in str(manifest)) == ("TrainJob", False)
    assert manifest["spec"]["trainer"]["env"][:2] == [ENDPOINT, TOKEN], "single entries it takes"
    (said,) = caplog.messages
    assert "Secret store" in said and "runtime torch-distributed" in said
    caplog.clear()
    trial_job(ClusterConfig(image="podium:1"), {}, given)
    trial_job(ClusterConfig.model_validate({"image": "podium:1", **several}), {})
    assert not caplog.messages


class Pods:
    """The pods of a namespace, by field selector; None for an API server that forbids it."""

    def __init__(self, found: list[dict[str, Any]] | None) -> None:
        self.found = found

    def find(self, kind: object, fields: str) -> list[dict[str, Any]]:
        assert fields == "metadata.name=launcher"
        if self.found is None:
            raise ClusterError("pods: 403 Forbidden", status=403)
        return self.found


def test_a_pod_that_cannot_be_read_hands_nothing_on_and_that_is_said(caplog: pytest.LogCaptureFixture) -> None:
    def seen(found: list[dict[str, Any]] | None) -> Inherited:
        cluster: Cluster = Pods(found)  # type: ignore[assignment]
        return inherited(cluster, "launcher", "KFP_POD_NAME")

    assert seen([POD]).service_account == "runs"
    assert seen([]) == Inherited()
    with caplog.at_level(logging.WARNING):
        assert seen(None) == Inherited()
    assert "get only what the section cluster names" in caplog.text
