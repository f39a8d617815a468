"""The client against an API server over real HTTP that answers late, wrongly, or not at all."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kubernetes import client

from podium.cluster.client import Change, Cluster, Patience
from podium.cluster.resources import JOB, NAMESPACE, TRAIN_JOB, Manifest, name_of
from podium.errors import ClusterError

from .kube.server import ApiServer, Fault

pytestmark = pytest.mark.integration

QUICK = Patience(attempts=4, first_seconds=0.01, most_seconds=0.5, timeout_seconds=60.0)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture
def cluster(api: ApiServer) -> Cluster:
    return connected(api, QUICK)


def connected(api: ApiServer, patience: Patience) -> Cluster:
    settings = client.Configuration(host=api.url)
    settings.retries = False
    return Cluster(client.ApiClient(settings), "space", patience)


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def job(name: str, **labels: str) -> Manifest:
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "labels": labels}, "spec": {"a": 1}}


class TestRequests:
    def test_an_object_from_creation_to_deletion(self, api: ApiServer, cluster: Cluster) -> None:
        assert cluster.get(JOB, "one") is None
        made = cluster.create(JOB, job("one", team="a"))
        assert cluster.get(JOB, "one") == made
        cluster.create(JOB, job("two", team="b"))
        assert [name_of(item) for item in cluster.find(JOB, "team=a")[0]] == ["one"]
        assert cluster.patch(JOB, "one", {"spec": {"a": None, "b": 2}})["spec"] == {"b": 2}
        assert cluster.delete(JOB, "one", wait_seconds=1)
        assert cluster.delete(JOB, "one")
        assert cluster.get(NAMESPACE, "space") is None

    @pytest.mark.parametrize("code", [0, -1, 429, 500, 502, 503, 504])
    def test_what_may_pass_is_tried_again(self, api: ApiServer, cluster: Cluster, code: int) -> None:
        api.faults.append(Fault("GET", "/jobs", code, times=3))
        assert cluster.find(JOB)[0] == []
        assert len(api.requests) == 4

    def test_an_answer_that_is_too_slow_is_tried_again(self, api: ApiServer) -> None:
        cluster = connected(api, replace(QUICK, attempts=1000, timeout_seconds=0.2))
        asking = threading.Thread(target=cluster.find, args=(JOB,))
        with api.changed:
            asking.start()
            wait_until(lambda: len(api.requests) >= 2)
        asking.join(60)
        assert not asking.is_alive()

    @pytest.mark.parametrize(("asked", "waited"), [("7", 7.0), ("60", 30.0)])
    def test_retry_after_is_heeded(
        self, api: ApiServer, monkeypatch: pytest.MonkeyPatch, asked: str, waited: float
    ) -> None:
        slept: list[float] = []
        monkeypatch.setattr("podium.cluster.client.time.sleep", slept.append)
        api.faults.append(Fault("GET", "/jobs", 429, headers={"Retry-After": asked}))
        connected(api, replace(QUICK, most_seconds=30.0)).find(JOB)
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
        assert len(api.requests) == QUICK.attempts

    def test_a_kind_that_is_not_installed_is_told(self, api: ApiServer, cluster: Cluster) -> None:
        api.uninstalled.add("trainjobs")
        with pytest.raises(ClusterError, match=r"trainjobs of namespace space: 404.*what provides this kind"):
            cluster.find(TRAIN_JOB)


class TestCreateOrAdopt:
    def test_a_lost_answer_does_not_create_twice(self, api: ApiServer, cluster: Cluster) -> None:
        api.faults.append(Fault("POST", "/jobs", -1))
        made, created = cluster.create_or_adopt(JOB, job("one"), lambda _: None)
        assert not created
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
        made, created = cluster.create_or_adopt(JOB, job("one", age="new"), lambda _: None)
        assert created
        assert made["metadata"]["labels"] == {"age": "new"}


class Follower:
    """Reads a watch in a thread; what it saw is the state that a client would have."""

    def __init__(self, cluster: Cluster, selector: str = "") -> None:
        self.changes: list[Change] = []
        self.state: dict[str, Any] = {}
        self._end = threading.Event()
        self._changes = cluster.follow(JOB, selector, quiet_seconds=1)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for change in self._changes:
            self.changes.append(change)
            if change.type == "listed":
                self.state = {name_of(item): item for item in change.objects}
            elif change.type == "deleted":
                del self.state[name_of(change.objects[0])]
            elif change.type == "changed":
                self.state[name_of(change.objects[0])] = change.objects[0]
            if self._end.is_set():
                return

    def wait_for(self, *names: str) -> None:
        wait_until(lambda: set(self.state) == set(names))

    def count(self, kind: str) -> int:
        return sum(change.type == kind for change in self.changes)

    def stop(self) -> None:
        """Returns once the watch was read to the end of its time."""
        self._end.set()
        self._thread.join()


class TestFollow:
    @pytest.fixture
    def follower(self, api: ApiServer, cluster: Cluster) -> Iterator[Follower]:
        api.create("jobs", "space", job("old"))
        follower = Follower(cluster)
        follower.wait_for("old")
        yield follower
        follower.stop()

    def test_changes_come_as_they_happen(self, api: ApiServer, follower: Follower) -> None:
        api.create("jobs", "space", job("new"))
        api.create("jobs", "elsewhere", job("foreign"))
        follower.wait_for("old", "new")
        api.update("jobs", "space", "new", lambda item: item["spec"].update(a=2))
        api.delete("jobs", "space", "old")
        follower.wait_for("new")
        assert follower.state["new"]["spec"] == {"a": 2}
        assert follower.count("listed") == 1

    def test_a_stream_whose_time_is_over_is_resumed_from_its_bookmark(self, api: ApiServer, follower: Follower) -> None:
        wait_until(lambda: follower.count("quiet") >= 2)
        api.create("jobs", "space", job("new"))
        follower.wait_for("old", "new")
        assert follower.count("listed") == 1

    def test_a_cut_connection_loses_nothing(self, api: ApiServer, follower: Follower) -> None:
        for number in range(5):
            api.drop_watches()
            api.create("jobs", "space", job(f"new-{number}"))
        follower.wait_for("old", *(f"new-{number}" for number in range(5)))

    def test_after_410_comes_another_list(self, api: ApiServer, follower: Follower) -> None:
        api.forget_history()
        api.delete("jobs", "space", "old")
        api.create("jobs", "space", job("new"))
        follower.wait_for("new")
        assert follower.count("listed") == 2

    @pytest.mark.parametrize("code", [410, 429, 500, 0])
    def test_a_watch_that_is_refused_is_opened_again(self, api: ApiServer, follower: Follower, code: int) -> None:
        api.faults.append(Fault("WATCH", "/jobs", code, times=2))
        api.drop_watches()
        api.create("jobs", "space", job("new"))
        follower.wait_for("old", "new")

    def test_a_watch_that_is_forbidden_is_an_error(self, api: ApiServer, cluster: Cluster) -> None:
        api.faults.append(Fault("WATCH", "/jobs", 403))
        with pytest.raises(ClusterError, match="watch of jobs of namespace space: 403"):
            list(itertools.islice(cluster.follow(JOB, "", 1), 3))


class TestConnect:
    def test_the_kubeconfig_names_server_and_namespace(
        self, api: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = tmp_path / "kubeconfig"
        file.write_text(kubeconfig(api.url))
        monkeypatch.setenv("KUBECONFIG", str(file))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(file))
        cluster = Cluster.connect(patience=QUICK)
        assert cluster.namespace == "space"
        assert Cluster.connect("other").namespace == "other"
        assert cluster.find(JOB)[0] == []

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
