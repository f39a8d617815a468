"""The Katib engine against an API server over real HTTP, with a Katib that runs trials as real processes."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.cluster.client import Cluster, ObjectMetadata
from podium.config.search import stopping_named
from podium.errors import ClusterError, ConfigError, JobNotStarted, StudyFailed
from podium.hpo.engines import Engine, TrialFunction
from podium.hpo.engines.katib.experiments import INJECTION_LABEL
from podium.hpo.ledger import TrialLedger
from podium.hpo.study import run_study
from podium.records import TrialRecord
from tests.support import eventually

from ..unit.hpo.conformance import EngineContract
from ..unit.hpo.support import Trial, experiment, file_ledger
from .kube.engine import ATTEMPTS, engine, names
from .kube.katib import NAMESPACE, KatibController
from .kube.server import ApiServer, Fault

pytestmark = pytest.mark.integration


_OVER = [{"type": "Succeeded", "status": "True", "reason": "ExperimentGoalReached"}]
_UNSCHEDULABLE = {
    "type": "PodScheduled",
    "status": "False",
    "reason": "Unschedulable",
    "message": "0/3 nodes are available",
}


def _waiting(reason: str, message: str) -> dict[str, Any]:
    return {"name": "trial", "state": {"waiting": {"reason": reason, "message": message}}}


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        yield server


@pytest.fixture
def katib(api: ApiServer) -> Iterator[KatibController]:
    with KatibController(api) as controller:
        yield controller


class TestKatibEngine(EngineContract):
    executions_of_a_damaged_trial = 1

    @pytest.fixture(autouse=True)
    def _cluster(self, api: ApiServer, katib: KatibController) -> None:
        self.api, self.katib = api, katib

    def engine(self, trial: TrialFunction, tmp_path: Path) -> Engine:
        self.katib.trial = trial
        return engine(self.api)

    def test_as_many_run_at_once_as_the_experiment_says(self, ledger: TrialLedger, tmp_path: Path) -> None:
        run_study(experiment(max_trials=6, parallel_trials=2), ledger, self.engine(Trial(tmp_path / "a"), tmp_path))
        assert self.api.list("experiments", NAMESPACE)[0]["spec"]["parallelTrialCount"] == 2

    def log_of(self, number: int) -> str:
        return f"kubectl logs -n {NAMESPACE} -l batch.kubernetes.io/job-name=synthetic-"


@pytest.fixture
def ledger(tmp_path: Path) -> TrialLedger:
    return file_ledger(tmp_path)


@pytest.fixture
def trial(tmp_path: Path, katib: KatibController) -> Trial:
    """What the pods execute."""
    katib.trial = Trial(tmp_path / "executed")
    return katib.trial


def posted(api: ApiServer) -> list[str]:
    return [path for method, path, _ in api.requests if method == "POST"]


def interrupt_after(count: int, error: BaseException) -> Callable[[TrialRecord], None]:
    told: list[TrialRecord] = []

    def on_trial(record: TrialRecord) -> None:
        told.append(record)
        if len(told) == count:
            raise error

    return on_trial


class TestTheExperiment:
    def test_it_says_whose_it_is(self, api: ApiServer, trial: Trial, ledger: TrialLedger) -> None:
        owner = {"apiVersion": "v1", "kind": "Pod", "name": "launcher", "uid": "7"}
        metadata = ObjectMetadata({"podium/run": "run-1"}, {"podium/study-key": "f" * 64}, owner)
        trials = run_study(experiment(), ledger, engine(api, metadata))
        (made,) = api.list("experiments", NAMESPACE)
        assert made["metadata"]["labels"]["podium/run"] == "run-1"
        assert made["metadata"]["annotations"]["podium/study-key"] == "f" * 64
        assert made["metadata"]["annotations"]["podium/ledger"] == ledger.documents.place
        assert made["metadata"]["ownerReferences"] == [owner]
        assert made["spec"]["objective"]["metricStrategies"] == [{"name": "score", "value": "latest"}]
        assert (made["spec"]["maxTrialCount"], made["spec"]["maxFailedTrialCount"]) == (6, 3)
        name = made["metadata"]["name"]
        assert len(name) <= 40
        assert {trial.labels["katib_experiment"] for trial in trials} == {name}
        assert {trial.labels["katib_trial"] for trial in trials} == set(names(api, "trials"))

    def test_a_namespace_without_injection_is_refused_with_the_command(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger
    ) -> None:
        api.update("namespaces", "", NAMESPACE, lambda item: item["metadata"].update(labels={}))
        command = f"kubectl label namespace {NAMESPACE} {INJECTION_LABEL}=enabled"
        with pytest.raises(ClusterError, match=command):
            run_study(experiment(), ledger, engine(api))
        assert posted(api) == []

    def test_what_katib_cannot_do_is_refused_before_anything_is_created(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger
    ) -> None:
        settings = {"min_trials_required": 3, "start_step": 1}
        with pytest.raises(ConfigError, match=r"Katib has no rule 'median'.*use medianstop"):
            run_study(experiment(early_stopping=stopping_named("median", settings)), ledger, engine(api))
        assert posted(api) == []

    def test_one_that_belongs_to_something_else_is_left_alone(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger
    ) -> None:
        run_study(experiment(max_trials=1), ledger, engine(api))
        (name,) = names(api)
        api.update("experiments", NAMESPACE, name, lambda item: item["metadata"].update(labels={}, annotations={}))
        ledger.documents.put("trial-000000.1.json", "{")
        said = f"Experiment {NAMESPACE}/{name} must belong to the study at .*something else"
        with pytest.raises(ClusterError, match=said):
            run_study(experiment(max_trials=2), ledger, engine(api))
        assert names(api) == [name]

    def test_one_that_runs_with_another_spec_is_not_adopted(
        self, api: ApiServer, katib: KatibController, trial: Trial, ledger: TrialLedger
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            stop = interrupt_after(1, KeyboardInterrupt())
            run_study(experiment(max_trials=50), ledger, engine(api, keep_on_cancel=True), stop)
        (found,) = api.list("experiments", NAMESPACE)
        api.update(
            "experiments",
            NAMESPACE,
            found["metadata"]["name"],
            lambda item: item["metadata"]["annotations"].update({"podium/spec": "another image"}),
        )
        with pytest.raises(ClusterError, match=r"must have the same spec.*kubectl delete experiment"):
            run_study(experiment(max_trials=50), ledger, engine(api))

    @pytest.mark.parametrize(("policy", "count"), [("FromVolume", 1), ("LongRunning", 1), ("Never", 2)])
    def test_a_larger_budget_extends_it_where_it_may_be_extended(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger, policy: str, count: int
    ) -> None:
        first = run_study(experiment(max_trials=2, resume_policy=policy), ledger, engine(api))
        trials = run_study(experiment(max_trials=4, resume_policy=policy), ledger, engine(api))
        assert trials[:2] == first
        assert len(names(api)) == count
        assert trial.executions() == dict.fromkeys(range(4), 1)
        assert len({json.dumps(record.params) for record in trials}) == 4


class TestWhatGoesWrong:
    def test_an_experiment_deleted_underneath_loses_no_trial(
        self, api: ApiServer, katib: KatibController, tmp_path: Path, ledger: TrialLedger
    ) -> None:
        katib.trial = slow = Trial(tmp_path / "executed", folds=3, seconds=0.15)
        ended: list[TrialRecord] = []

        def on_trial(record: TrialRecord) -> None:
            ended.append(record)
            if len(ended) == 2:
                api.delete("experiments", NAMESPACE, names(api)[0])

        trials = run_study(experiment(max_trials=6), ledger, engine(api), on_trial)
        assert [record.number for record in trials] == list(range(6))
        assert sorted(record.number for record in ended) == list(range(6))
        assert {record.status for record in trials} == {"succeeded"}
        assert set(slow.fold_executions().values()) == {1}
        assert len(names(api)) == 1
        assert names(api)[0].endswith("-2")
        assert len({json.dumps(record.params) for record in trials}) == 6

    def test_results_of_pods_that_outlived_the_engine_are_entered(
        self, api: ApiServer, katib: KatibController, trial: Trial, ledger: TrialLedger
    ) -> None:
        context = multiprocessing.get_context("fork")
        running = context.Process(target=run_study, args=(experiment(max_trials=8), ledger, engine(api)))
        running.start()
        eventually(lambda: len(ledger.finished()) >= 2)
        assert running.pid is not None
        os.kill(running.pid, signal.SIGKILL)
        running.join()
        katib.numbered.clear()
        eventually(lambda: "Succeeded" in str(api.list("experiments", NAMESPACE)[0]["status"]["conditions"]))
        trials = run_study(experiment(max_trials=8), ledger, engine(api))
        assert [record.number for record in trials] == list(range(8))
        assert sum(trial.executions().values()) == 8
        assert len({record.labels["katib_trial"] for record in trials}) == 8
        assert len(posted(api)) == 1

    @pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(143)])
    def test_a_stopped_run_deletes_what_goes_on(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger, error: BaseException
    ) -> None:
        foreign = {"metadata": {"name": "foreign", "labels": {}}, "spec": {"parallelTrialCount": 1, "maxTrialCount": 1}}
        api.checks.pop("experiments")
        api.create("experiments", NAMESPACE, {**foreign, "status": {"conditions": _OVER}})
        with pytest.raises(type(error)):
            run_study(experiment(max_trials=50), ledger, engine(api), interrupt_after(2, error))
        assert names(api) == ["foreign"]
        assert names(api, "jobs") == []
        trials = run_study(experiment(max_trials=5), ledger, engine(api))
        assert [record.number for record in trials] == list(range(5))

    def test_a_second_signal_does_not_keep_it_from_deleting(
        self, api: ApiServer, trial: Trial, ledger: TrialLedger, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Ctrl-C in a terminal reaches the step twice: from the terminal, and from the run that stops its steps."""
        delete, before = Cluster.delete, signal.getsignal(signal.SIGTERM)

        def interrupted(*given: Any, **named: Any) -> bool:
            for number in (signal.SIGTERM, signal.SIGINT):
                os.kill(os.getpid(), number)
            return delete(*given, **named)

        monkeypatch.setattr(Cluster, "delete", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run_study(experiment(max_trials=50), ledger, engine(api), interrupt_after(2, KeyboardInterrupt()))
        assert names(api) == []
        assert signal.getsignal(signal.SIGTERM) is before

    def test_a_stopped_run_may_leave_it_running(self, api: ApiServer, trial: Trial, ledger: TrialLedger) -> None:
        stop = interrupt_after(1, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run_study(experiment(max_trials=4), ledger, engine(api, keep_on_cancel=True), stop)
        (name,) = names(api)
        trials = run_study(experiment(max_trials=4), ledger, engine(api))
        assert names(api) == [name]
        assert sum(trial.executions().values()) == 4
        assert len({record.labels["katib_trial"] for record in trials}) == 4
        assert {record.labels["katib_experiment"] for record in trials} == {name}

    def test_an_api_server_with_hiccups_changes_nothing(
        self, api: ApiServer, katib: KatibController, tmp_path: Path, ledger: TrialLedger
    ) -> None:
        katib.trial = Trial(tmp_path / "executed", seconds=0.05)
        api.faults += [
            Fault("POST", "/experiments", -1),
            Fault("GET", "/experiments", 500, times=2),
            Fault("GET", "/trials", 429, headers={"Retry-After": "0"}),
            Fault("GET", "/trials", 0),
            Fault("GET", "/trials", 503),
        ]
        trials = run_study(experiment(max_trials=8), ledger, engine(api))
        assert [record.status for record in trials] == ["succeeded"] * 8
        assert katib.trial.executions() == dict.fromkeys(range(8), 1)
        assert len(names(api)) == 1

    def test_a_cluster_that_stays_away_leaves_everything_to_the_next_run(
        self, api: ApiServer, katib: KatibController, tmp_path: Path, ledger: TrialLedger
    ) -> None:
        katib.trial = Trial(tmp_path / "executed", seconds=0.05)

        def on_trial(_: TrialRecord) -> None:
            api.faults.append(Fault("GET", "", 0, times=ATTEMPTS))

        with pytest.raises(ClusterError, match="the API server did not answer"):
            run_study(experiment(max_trials=4), ledger, engine(api), on_trial)
        api.faults.clear()
        trials = run_study(experiment(max_trials=4), ledger, engine(api))
        assert sum(katib.trial.executions().values()) == 4
        assert len({record.labels["katib_trial"] for record in trials}) == 4

    def test_where_the_ledger_lacks_a_result_katibs_counts(
        self, api: ApiServer, katib: KatibController, trial: Trial, ledger: TrialLedger
    ) -> None:
        katib.pods_write = False
        trials = run_study(experiment(max_trials=3), ledger, engine(api))
        observed = [item["status"]["observation"]["metrics"][0]["latest"] for item in api.list("trials", NAMESPACE)]
        assert sorted(str(record.score) for record in trials) == sorted(observed)
        assert all(record.metrics["score"].latest == record.score for record in trials)
        assert all(record.fold_scores == {} for record in trials)

    def test_a_trial_without_any_result_has_failed(
        self, api: ApiServer, katib: KatibController, trial: Trial, ledger: TrialLedger
    ) -> None:
        katib.pods_write = katib.collects = False
        with pytest.raises(StudyFailed, match="trial 0: MetricsUnavailable: Metrics are not available"):
            run_study(experiment(max_trials=4, max_failed_trials=1, parallel_trials=1), ledger, engine(api))

    @pytest.mark.parametrize(
        ("status", "reason"),
        [
            (
                {"containerStatuses": [_waiting("InvalidImageName", 'image "Podium:1"')]},
                'InvalidImageName: image "Podium:1"',
            ),
            ({"conditions": [_UNSCHEDULABLE]}, "Unschedulable: 0/3 nodes are available"),
            ({"containerStatuses": [_waiting("ImagePullBackOff", "Back-off pulling")]}, "ImagePullBackOff: Back-off"),
        ],
    )
    def test_a_pod_that_does_not_start_ends_the_study(
        self, api: ApiServer, katib: KatibController, tmp_path: Path, ledger: TrialLedger, status: Any, reason: str
    ) -> None:
        katib.trial = Trial(tmp_path / "executed", seconds=60)
        made = threading.Thread(target=_add_pod, args=(api, status))
        made.start()
        with pytest.raises(JobNotStarted, match=f"Pod {NAMESPACE}/stuck must start within .*: {reason}"):
            run_study(experiment(), ledger, engine(api, start_seconds=1.5))
        made.join()
        assert names(api) == []

    def test_pods_of_a_trial_that_the_server_refuses_end_the_study(
        self, api: ApiServer, katib: KatibController, tmp_path: Path, ledger: TrialLedger
    ) -> None:
        katib.trial = Trial(tmp_path / "executed", seconds=60)
        made = threading.Thread(target=_refuse_pods, args=(api,))
        made.start()
        with pytest.raises(JobNotStarted, match=r"Job .* must start within .*: FailedCreate: .*violates PodSecurity"):
            run_study(experiment(), ledger, engine(api))
        made.join()
        assert names(api) == []

    def test_katib_may_take_its_time_between_two_trials(
        self,
        api: ApiServer,
        katib: KatibController,
        trial: Trial,
        ledger: TrialLedger,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """As a suggestion service does that fits a model: the first trial began long ago then."""
        clock = [0.0]
        monkeypatch.setattr(
            "podium.hpo.engines.katib.engine.time", SimpleNamespace(monotonic=lambda: clock[0], sleep=time.sleep)
        )
        create = katib._create_trial

        def looked() -> int:
            return sum(path.endswith("/pods") for _, path, _ in list(api.requests))

        def fit_a_model_first(experiment: Any) -> None:
            if names(api, "trials"):
                clock[0] += 2.0
                before = looked()
                eventually(lambda: looked() >= before + 2)
            create(experiment)

        def on_trial(_: TrialRecord) -> None:
            clock[0] += 2.0

        monkeypatch.setattr(katib, "_create_trial", fit_a_model_first)
        one_by_one = experiment(max_trials=2, parallel_trials=1)
        trials = run_study(one_by_one, ledger, engine(api, start_seconds=3.0), on_trial)
        assert [record.status for record in trials] == ["succeeded", "succeeded"]
        assert len(names(api)) == 1


def _refuse_pods(api: ApiServer) -> None:
    eventually(lambda: names(api, "jobs") != [])
    job = api.list("jobs", NAMESPACE)[0]["metadata"]
    involved = {"kind": "Job", "name": job["name"], "uid": job["uid"]}
    refusal = {"reason": "FailedCreate", "message": 'pods "a" is forbidden: violates PodSecurity "restricted:latest"'}
    api.create("events", NAMESPACE, {"metadata": {"name": "refused"}, "involvedObject": involved, **refusal})


def _add_pod(api: ApiServer, status: dict[str, Any]) -> None:
    eventually(lambda: names(api) != [])
    labels = {"katib.kubeflow.org/experiment": names(api)[0]}
    api.create(
        "pods", NAMESPACE, {"metadata": {"name": "stuck", "labels": labels}, "status": {"phase": "Pending", **status}}
    )
