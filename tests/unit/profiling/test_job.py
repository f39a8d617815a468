from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from podium.cluster.manifests import job_manifest
from podium.config.cluster import ClusterConfig
from podium.config.profile import ProfileConfig
from podium.errors import ClusterError, JobNotStarted
from podium.profiling import attempt, capture, job
from podium.profiling.permissions import Need
from podium.records.profile import Permission
from podium.store.store import ArtifactStore
from tests.unit.profiling.fake_tools import FakeTools, workload

POOL = {"selector": {"pool": "gpu"}, "device": "nvidia.com/gpu", "cpu": "4", "memory": "16Gi"}
CONFIG = ClusterConfig.model_validate(
    {"image": "podium-profiler:1", "service_account": "podium-profiling", "pools": {"profile": POOL}}
)
PROFILE = ProfileConfig(tools=("nsys", "ncu"), kernels=2, timeout_seconds=60)
KEY = "0123456789abcdef0123"


def manifest(mode: job.Mode) -> dict[str, Any]:
    found = job_manifest(job.job_spec(mode, CONFIG, {"PODIUM_STORE": "s3://b"}, KEY, PROFILE))
    found["metadata"]["namespace"] = "podium-profiling"
    kubernetes_validate.validate(found, "1.32", strict=True)
    return found


def test_the_job_for_counters_has_one_capability_and_no_other_right() -> None:
    found = manifest("privileged-job")
    pod = found["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "runAsUser": 0,
        "runAsNonRoot": False,
        "allowPrivilegeEscalation": True,
        "capabilities": {"drop": ["ALL"], "add": ["SYS_ADMIN"]},
    }
    assert "privileged" not in container["securityContext"] and "hostPID" not in pod and "hostNetwork" not in pod
    assert container["command"] == ["python", "-m", "podium.profiling.job"]
    assert container["resources"]["limits"] == {"memory": "16Gi", "nvidia.com/gpu": "1"}
    assert pod["nodeSelector"] == {"pool": "gpu"} and pod["serviceAccountName"] == "podium-profiling"
    assert found["metadata"]["name"] == "podium-profile-0123456789abcdef"
    assert found["spec"]["activeDeadlineSeconds"] == (2 + 4 + 2 * capture.ROUNDS) * 60 + 600
    assert "nvidia-nsight-profile" not in found["spec"]["template"]["metadata"]["labels"]


def test_the_operator_finds_its_pod_by_a_label_and_the_pod_stays_restricted() -> None:
    found = manifest("nsight-operator")
    template = found["spec"]["template"]
    assert template["metadata"]["labels"]["nvidia-nsight-profile"] == "enabled"
    assert template["spec"]["containers"][0]["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
    }
    assert template["spec"]["securityContext"]["runAsNonRoot"] is True


class Pod:
    """Runs the program of the Job in this process, or fails as a cluster does."""

    def __init__(self, folder: Path, tools: FakeTools | None = None, error: Exception | None = None) -> None:
        self.folder, self.tools, self.error = folder, tools, error

    def run(self, spec: Any, on_line: Any) -> None:
        if self.error is not None:
            raise self.error
        self.folder.mkdir()
        environment = spec.environment
        job.execute(ArtifactStore(environment[job.STORE_VARIABLE]), environment[job.REQUEST_VARIABLE], self.folder)


def on_cluster(tmp_path: Path, pod: Pod, mode: job.Mode = "privileged-job") -> capture.DeepProfile:
    store = ArtifactStore(str(tmp_path / "store"))
    wanted = ProfileConfig(tools=("nsys",), nsys="/only/here/nsys")
    return job.profile_on_cluster(
        mode,
        workload(tmp_path),
        tmp_path / "profile",
        wanted,
        store,
        CONFIG,
        pod,
        KEY,  # type: ignore[arg-type]
    )


def test_what_the_pod_found_comes_back_with_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = FakeTools()
    no_gpu = Need(Permission(name="GPU", status="skipped"), ("ncu",))

    def in_pod(spec: Any, directory: Path, config: ProfileConfig) -> capture.DeepProfile:
        assert config.nsys is None, "the image has its own"
        assert spec.rows == str(directory / "rows.jsonl") and Path(spec.rows).read_text() == '"a good film"\n'
        return capture.deep_profile(spec, directory, config, tools, (no_gpu,), rounds=0)

    monkeypatch.setattr(attempt, "version_of", lambda program: (2024, 5))
    monkeypatch.setattr(job, "deep_profile", in_pod)
    found = on_cluster(tmp_path, Pod(tmp_path / "pod"))
    assert found.status == "ok" and [one.outcome for one in found.attempts] == ["ok"]
    assert (tmp_path / "profile" / "nsys" / "report.nsys-rep").is_file()


@pytest.mark.parametrize(
    "error", [ClusterError("jobs is forbidden", status=403), JobNotStarted("violates PodSecurity restricted")]
)
def test_a_cluster_that_does_not_allow_it_degrades_with_what_mends_it(tmp_path: Path, error: Exception) -> None:
    found = on_cluster(tmp_path, Pod(tmp_path / "pod", error=error))
    assert found.status == "degraded" and str(error) in found.tools[0].reason
    assert "profiling.enabled=true" in found.tools[0].remedy


def test_what_the_operator_saw_is_not_taken_for_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "run", lambda spec: None)
    found = on_cluster(tmp_path, Pod(tmp_path / "pod"), "nsight-operator")
    assert found.status == "degraded" and "operator's storage" in found.tools[0].reason
