"""The Roles of the chart allow exactly what Podium's code asks an API server for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from podium.cluster.client import EXPERIMENT, INJECTION_LABEL, JOB, SUGGESTION, TRAIN_JOB, TRIAL
from podium.cluster.doctor import RIGHTS
from podium.cluster.jobs import Jobs
from podium.cluster.manifests import JobSpec
from podium.config.cluster import ClusterConfig
from podium.errors import ComputationFailed
from podium.hpo.engines import TrialResult
from podium.hpo.engines.katib.experiments import is_over
from podium.hpo.ledger import Claim, TrialLedger
from podium.hpo.study import run_study
from podium.records import TrialRecord
from tests.integration.kube.engine import connected, engine
from tests.integration.kube.katib import NAMESPACE, KatibController
from tests.integration.kube.node import Node, ended, running
from tests.integration.kube.server import ApiServer
from tests.support import eventually
from tests.unit.hpo.support import Trial, experiment, file_ledger

from .support import CHART, installed, only

pytestmark = pytest.mark.integration

Right = tuple[str, str, str]
"""Group, resource and verb."""

_REQUEST = re.compile(
    r"/(?:api/v1|apis/(?P<group>[^/]+)/[^/]+)/namespaces/[^/]+(?:/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+)(?P<log>/log)?)?)?"
)


def asked_for(api: ApiServer) -> set[Right]:
    """What somebody needed to be allowed for all requests so far."""
    rights = set()
    for method, path, _ in api.requests:
        match = _REQUEST.fullmatch(path)
        assert match is not None, path
        plural = (match["plural"] or "namespaces") + ("/log" if match["log"] else "")
        reading = "get" if match["name"] or plural == "namespaces" else "list"
        verb = {"GET": reading, "POST": "create", "PATCH": "patch", "DELETE": "delete"}[method]
        rights.add((match["group"] or "", plural, verb))
    return rights


def allowed(values: str) -> set[Right]:
    """What the one Role of an installation allows."""
    role = only(installed(values=CHART / "ci" / f"{values}-values.yaml"), "Role")
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.create("namespaces", "", {"metadata": {"name": NAMESPACE, "labels": {INJECTION_LABEL: "enabled"}}})
        yield server


def run_a_job_that_fails(api: ApiServer) -> None:
    """A Job that has no pod for a while, then fails, and is replaced."""

    def act(node: Node) -> None:
        node.pod(**running())
        node.write("last words\n")
        node.wait_for_readers(1)
        node.pod(**ended(3))
        node.job("Failed")

    spec = JobSpec(ClusterConfig(image="image:1"), ["run"], name="work", key="what is done")
    jobs = Jobs(connected(api, "space"), start_seconds=60, stop_seconds=60, poll_seconds=0.1)
    jobs.submit(spec)
    jobs.check_started("batch.kubernetes.io/job-name=work", spec, ["work"])
    node = Node(api, act)
    with pytest.raises(ComputationFailed, match="last words"):
        jobs.run(spec)
    node.join()
    jobs.submit(spec)
    jobs.cancel(JOB, ["work"], spec.key)


@dataclass(frozen=True)
class Held:
    """A trial that ends when another one has begun, which does not end before it is begun again."""

    marker: Path

    def __call__(self, claim: Claim, ledger: TrialLedger) -> TrialResult:
        if claim.number == 0:
            eventually(self.marker.exists)
        elif not self.marker.exists():
            self.marker.touch()
            eventually(lambda: False)
        return TrialResult(0.5)


def test_the_role_is_what_jobs_and_studies_ask_for(api: ApiServer, tmp_path: Path) -> None:
    run_a_job_that_fails(api)

    def stop(record: TrialRecord) -> None:
        raise KeyboardInterrupt

    def delete_the_experiment(record: TrialRecord) -> None:
        if record.number == 0:
            # What Katib ran then goes on as a Job.
            (running_one,) = [one for one in api.list("experiments", NAMESPACE) if not is_over(one)]
            api.delete("experiments", NAMESPACE, running_one["metadata"]["name"])

    with KatibController(api) as katib:
        for name, react in (("stopped", stop), ("deleted", delete_the_experiment)):
            katib.trial = Held(tmp_path / name)
            with suppress(KeyboardInterrupt):
                run_study(experiment(max_trials=3), file_ledger(tmp_path / f"{name}-ledger"), engine(api), react)
        katib.trial = Trial(tmp_path / "quick")
        for trials in (2, 3):
            run_study(experiment(max_trials=trials), file_ledger(tmp_path / "quick-ledger"), engine(api))
    # A Trial that is still there when its Experiment is gone, which this Katib never leaves, is deleted and looked for.
    api.create("trials", NAMESPACE, {"metadata": {"name": "left"}})
    connected(api).delete(TRIAL, "left", owned_first=False)
    rights = allowed("katib")
    on_train_jobs = {right for right in rights if right[1] == TRAIN_JOB.plural}
    assert asked_for(api) == rights - on_train_jobs
    # A TrainJob takes the place of a Job: both are asked for by the same code.
    assert {verb for *_, verb in on_train_jobs} == {verb for _, plural, verb in rights if plural == JOB.plural}


def test_the_role_for_profiling_is_what_jobs_ask_for(api: ApiServer) -> None:
    run_a_job_that_fails(api)
    assert asked_for(api) == allowed("profiling")


def test_the_doctor_looks_for_what_the_role_allows() -> None:
    looked_for = {
        (*resource, verb) for rights in RIGHTS.values() for resource, verbs in rights.items() for verb in verbs
    }
    assert looked_for == allowed("katib")


def test_groups_and_resources_are_those_of_the_code() -> None:
    kinds = {
        (kind.api_version.partition("/")[0], kind.plural) for kind in (JOB, TRAIN_JOB, EXPERIMENT, SUGGESTION, TRIAL)
    }
    assert {(group, plural) for group, plural, _ in allowed("katib") if group} == kinds


def test_only_the_own_namespace_may_be_looked_at() -> None:
    rules = only(installed(values=CHART / "ci" / "katib-values.yaml"), "Role")["rules"]
    assert [rule["resourceNames"] for rule in rules if rule["resources"] == ["namespaces"]] == [["team"]]
