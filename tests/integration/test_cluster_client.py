"""The client against an API server over real HTTP that answers late, wrongly, or not at all."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.cluster.client import JOB, NAMESPACE, TRAIN_JOB, Cluster, Manifest, name_of
from podium.errors import ClusterError
from tests.support import eventually

from .kube.engine import ATTEMPTS, connected
from .kube.server import ApiServer, Fault

pytestmark = pytest.mark.integration


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def cluster(api: ApiServer) -> Cluster:
    return connected(api, "space")


def job(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": {"a": 1}}


class TestRequests:
    def test_an_object_from_creation_to_deletion(self, api: ApiServer, cluster: Cluster) -> None:
        assert cluster.get(JOB, "one") is None
        made = cluster.create(JOB, job("one", team="a"))
        assert cluster.get(JOB, "one") == made
        cluster.create(JOB, job("two", team="b"))
        assert [name_of(item) for item in cluster.find(JOB, "team=a")] == ["one"]
        cluster.patch(JOB, "one", {"spec": {"a": None, "b": 2}})
        assert api.get("jobs", "space", "one")["spec"] == {"b": 2}
        assert cluster.delete(JOB, "one", wait_seconds=1)
        assert cluster.delete(JOB, "one")
        assert cluster.get(NAMESPACE, "space") is None

    @pytest.mark.parametrize("code", [0, -1, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(self, api: ApiServer, cluster: Cluster, code: int) -> None:
        api.faults.append(Fault("GET", "/jobs", code, times=3))
        assert cluster.find(JOB) == []
        assert len(api.requests) == 4

    def test_an_answer_that_is_too_slow_is_tried_again(
        self, api: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("podium.cluster.client._SILENT_SECONDS", 0.2)
        with api.changed, pytest.raises(ClusterError, match="the API server did not answer"):
            cluster.find(JOB)
        eventually(lambda: len(api.requests) == ATTEMPTS)

    @pytest.mark.parametrize(("asked", "waited"), [("7", 7), ("60", 30)])
    def test_retry_after_is_heeded(
        self, api: ApiServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch, asked: str, waited: int
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr("urllib3.util.retry.time.sleep", slept.append)
        api.faults.append(Fault("GET", "/jobs", 429, headers={"Retry-After": asked}))
        cluster.find(JOB)
        assert slept == [waited]

    @pytest.mark.parametrize(("code", "hint"), [(401, "log in"), (403, "Role"), (422, "correct"), (409, "")])
    def test_a_refusal_is_told_at_once(self, api: ApiServer, cluster: Cluster, code: int, hint: str) -> None:
        api.faults.append(Fault("POST", "/jobs", code))
        with pytest.raises(
            ClusterError, match=rf"^Job space/one: {code} Injected: injected answer {code}; .*{hint}"
        ) as e:
            cluster.create(JOB, job("one"))
        assert e.value.status == code
        assert len(api.requests) == 1

    def test_a_server_that_stays_away_is_an_error_without_status(self, api: ApiServer, cluster: Cluster) -> None:
        api.faults.append(Fault("GET", "/jobs", 0, times=99))
        with pytest.raises(ClusterError, match="jobs of namespace space: the API server did not answer") as error:
            cluster.find(JOB)
        assert error.value.status is None
        assert len(api.requests) == ATTEMPTS

    def test_a_kind_that_is_not_installed_is_told(self, api: ApiServer, cluster: Cluster) -> None:
        api.uninstalled.add("trainjobs")
        with pytest.raises(ClusterError, match=r"trainjobs of namespace space: 404.*what provides this kind"):
            cluster.find(TRAIN_JOB)


class TestCreateOrAdopt:
    def test_a_lost_answer_does_not_create_twice(self, api: ApiServer, cluster: Cluster) -> None:
        api.faults.append(Fault("POST", "/jobs", -1))
        made = cluster.create_or_adopt(JOB, job("one"), lambda _: None)
        assert [name_of(item) for item in api.list("jobs", "space")] == ["one"]
        assert made["metadata"]["uid"] == api.get("jobs", "space", "one")["metadata"]["uid"]

    def test_a_foreign_object_is_refused(self, api: ApiServer, cluster: Cluster) -> None:
        cluster.create(JOB, job("one", team="b"))

        def check(found: Manifest) -> None:
            raise ClusterError(f"{found['metadata']['labels']} is not mine")

        with pytest.raises(ClusterError, match=r"'team': 'b'.* is not mine"):
            cluster.create_or_adopt(JOB, job("one", team="a"), check)

    def test_one_that_is_being_deleted_is_replaced(self, api: ApiServer, cluster: Cluster) -> None:
        cluster.create(JOB, job("one", age="old"))
        api.update("jobs", "space", "one", lambda item: item["metadata"].update(deletionTimestamp="now"))
        threading.Timer(0.03, lambda: api.delete("jobs", "space", "one")).start()
        made = cluster.create_or_adopt(JOB, job("one", age="new"), lambda _: None)
        assert made["metadata"]["labels"] == {"age": "new"}


class TestConnect:
    def test_the_kubeconfig_names_server_and_namespace(
        self, api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(api.url))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        cluster = Cluster.connect()
        assert cluster.namespace == "space"
        assert Cluster.connect("other").namespace == "other"
        assert cluster.find(JOB) == []

    def test_without_one_the_error_says_what_to_do(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(tmp_path / "none"))
        with pytest.raises(ClusterError, match=r"a cluster must be within reach.*set KUBECONFIG"):
            Cluster.connect()


def kubeconfig(url: str) -> str:
    return f"""
apiVersion: v1
kind: Config
current-context: here
clusters: [{{name: here, cluster: {{server: "{url}"}}}}]
users: [{{name: me, user: {{}}}}]
contexts: [{{name: here, context: {{cluster: here, user: me, namespace: space}}}}]
"""
