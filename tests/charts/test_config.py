"""The configuration that the chart writes is one that Podium takes; its pods are placed as Podium places its own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.cluster.manifests import JobSpec, job_manifest
from podium.config.cluster import ClusterConfig, NodePoolConfig
from podium.config.compose import compose
from podium.config.schema import PodiumConfig
from podium.stages.on_cluster import check_reachable

from .support import CHART, CI, Manifest, installed, of_kind, only

WITH_RUNS = [path for path in CI if path.stem.split("-")[0] not in ("kubeflow", "profiling")]
CUSTOM = ("dataset=custom", "dataset.name=reviews", "dataset.path=/data", "dataset.task=text-classification")
SNAKE = {"sharedMemory": "shared_memory", "priorityClass": "priority_class"}


def config_of(found: list[Manifest], folder: Path) -> PodiumConfig:
    """The config in the ConfigMap of an installation, composed as `podium run --config FILE --data FILE` does."""
    file = folder / "run.yaml"
    file.write_text(only(found, "ConfigMap")["data"]["run.yaml"])
    needs_data = any("--data" in pod["containers"][0]["command"] for pod in run_pods(found))
    return compose(CUSTOM if needs_data else (), folder, [file]).config


def run_pods(found: list[Manifest]) -> list[Manifest]:
    jobs = [item["spec"] for item in of_kind(found, "Job")]
    jobs += [item["spec"]["jobTemplate"]["spec"] for item in of_kind(found, "CronJob")]
    return [job["template"]["spec"] for job in jobs]


def pools_of(values: Path) -> dict[str, NodePoolConfig]:
    """The pools that the values describe, read without helm."""
    default = yaml.safe_load((CHART / "values.yaml").read_text())["nodePools"]
    given = yaml.safe_load(values.read_text()).get("nodePools", {})
    merged = {name: {**pool, **given.get(name, {})} for name, pool in default.items()}
    return {
        name: NodePoolConfig.model_validate(
            {SNAKE.get(key, key): str(value) if key == "cpu" else value for key, value in pool.items()}
        )
        for name, pool in merged.items()
    }


@pytest.mark.parametrize("values", WITH_RUNS, ids=lambda path: path.stem)
def test_the_config_is_valid_and_has_the_pools_of_the_values(values: Path, tmp_path: Path) -> None:
    found = installed(values=values)
    config = config_of(found, tmp_path)
    assert config.cluster.pools == pools_of(values)
    assert config.output == "/podium"
    image = run_pods(found)[0]["containers"][0]["image"]
    assert config.cluster.image == image
    if of_kind(found, "Deployment"):
        assert config.tracking.uri == "http://podium-mlflow:5000"


def test_values_of_the_config_arrive(tmp_path: Path) -> None:
    found = installed(values=CHART / "ci" / "s3-values.yaml")
    config = config_of(found, tmp_path)
    assert config.store == "s3://team/podium"
    assert config.training.learning_rate == 1e-5
    assert config.dataset.max_row_bytes == 2_000_000
    assert config.tracking.experiment == "tickets"
    assert config.cluster.secrets == ("bucket", "hub")
    assert config.cluster.volume_claim is None
    assert list(config.entrants) == ["linear"]
    (pod,) = run_pods(found)
    (container,) = pod["containers"]
    assert container["image"].startswith("docker.io/podium/podium-python@sha256:")
    assert container["command"][-6:] == [
        *("--entrant", "linear", "--entrant", "distilbert-base-uncased", "--time-limit", "2h"),
    ]
    assert [item["secretRef"]["name"] for item in container["envFrom"]] == ["bucket", "hub"]
    assert {"name": "AWS_ENDPOINT_URL", "value": "https://minio.storage"} in container["env"]


def test_trials_of_katib_reach_the_store_and_have_what_the_chart_gives(tmp_path: Path) -> None:
    found = installed(values=CHART / "ci" / "katib-values.yaml")
    config = config_of(found, tmp_path)
    assert config.hpo.engine == "katib"
    assert config.store is not None
    check_reachable(config.store, config.cluster)
    cluster = config.cluster
    assert (cluster.service_account, cluster.trial_pool, cluster.secrets) == ("podium", "train", ("hub",))
    assert (
        cluster.volume_claim
        == only([item for item in found if item["metadata"]["name"] == "podium"], "PersistentVolumeClaim")["metadata"][
            "name"
        ]
    )
    several = installed("run.config.cluster.trial_nodes=2", values=CHART / "ci" / "katib-values.yaml")
    assert "secrets" not in yaml.safe_load(only(several, "ConfigMap")["data"]["run.yaml"])["cluster"]


def test_profiles_run_in_the_namespace_of_profiling_where_it_is_enabled(tmp_path: Path) -> None:
    values = CHART / "ci" / "s3-values.yaml"
    assert config_of(installed(values=values), tmp_path).profile.mode == "kfp-task"
    found = installed("profiling.enabled=true", "profiling.namespace=counters", values=values)
    profile = config_of(found, tmp_path).profile
    assert (profile.mode, profile.namespace) == ("privileged-job", "counters")
    accounts = [item["metadata"] for item in of_kind(found, "ServiceAccount")]
    assert (profile.service_account, "counters") in {(one["name"], one["namespace"]) for one in accounts}
    assert run_pods(found)[0]["automountServiceAccountToken"] is True


def test_tracking_can_be_off(tmp_path: Path) -> None:
    found = installed(values=CHART / "ci" / "schedule-values.yaml")
    assert config_of(found, tmp_path).tracking.mode == "off"


@pytest.mark.parametrize("values", WITH_RUNS, ids=lambda path: path.stem)
def test_the_pod_of_a_run_is_placed_as_podium_places_its_own(values: Path) -> None:
    found = installed(values=values)
    pool_name = yaml.safe_load(values.read_text())["run"].get("pool", "cpu")
    pool = pools_of(values)[pool_name]
    spec = JobSpec(ClusterConfig(image="i", service_account="podium"), ["x"], name="n", key="k", pool=pool)
    expected = job_manifest(spec)["spec"]
    of_podium = expected["template"]["spec"]
    for pod in run_pods(found):
        for field in ("nodeSelector", "tolerations", "priorityClassName", "serviceAccountName", "restartPolicy"):
            assert pod.get(field) == of_podium.get(field), field
        found_resources = pod["containers"][0]["resources"]
        wanted: dict[str, Any] = of_podium["containers"][0]["resources"]
        assert found_resources["requests"] == wanted["requests"]
        assert found_resources["limits"] == {**wanted["limits"], "cpu": pool.cpu}
        shm = [volume for volume in pod["volumes"] if volume["name"] == "shm"]
        assert shm == [volume for volume in of_podium.get("volumes", []) if volume["name"] == "shm"]
    for job in of_kind(found, "Job"):
        assert job["metadata"]["labels"].get("kueue.x-k8s.io/queue-name") == pool.queue
        if pool.spot:
            assert expected["podFailurePolicy"]["rules"][0] in job["spec"]["podFailurePolicy"]["rules"]


def job_name(*settings: str) -> str:
    return str(only(installed(*settings, values=CHART / "ci" / "minimal-values.yaml"), "Job")["metadata"]["name"])


def test_another_configuration_is_another_job_and_the_same_one_is_the_same() -> None:
    name = job_name()
    assert job_name("schedule.enabled=true", "mlflow.memory=3Gi") == name
    changed = ["run.config.hpo.max_trials=3", "image.tag=next", "nodePools.cpu.memory=9Gi", "nodePools.train.cpu=3"]
    assert len({name, *map(job_name, changed)}) == 5


def test_a_scheduled_run_is_the_same_as_one_by_hand() -> None:
    found = installed("schedule.enabled=true", values=CHART / "ci" / "minimal-values.yaml")
    assert only(found, "CronJob")["spec"]["jobTemplate"]["spec"] == only(found, "Job")["spec"]
    assert only(found, "CronJob")["spec"]["concurrencyPolicy"] == "Forbid"


def test_exit_codes_that_stay_the_same_are_not_tried_again() -> None:
    from podium.errors import ConfigError, InputError

    job = only(installed(values=CHART / "ci" / "minimal-values.yaml"), "Job")
    (codes,) = [rule["onExitCodes"] for rule in job["spec"]["podFailurePolicy"]["rules"] if "onExitCodes" in rule]
    assert codes["values"] == [ConfigError.exit_code] == [InputError.exit_code]
