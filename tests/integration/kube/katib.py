"""A small Katib and Job controller for `ApiServer`: creates Trials and Jobs, and runs the Jobs as processes.

Follows the controllers of Katib (`pkg/controller.v1beta1`) in what a client can see: conditions and their reasons,
counts, replenishing, goal, failures, restart after a larger budget, and the rules of the webhook. Katib's suggestion
services are stood in for by Podium's own algorithms.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from podium.hpo.engines import TrialFunction
from podium.hpo.engines.katib.experiments import LEDGER_ANNOTATION
from podium.hpo.ledger import TrialLedger
from podium.hpo.suggest import suggester_for
from podium.hpo.trial_container import NAME_VARIABLE, TrialDocuments, params_given
from podium.katib.experiment import from_katib
from podium.katib.search import to_text
from podium.records import TrialRecord
from podium.store.store import ArtifactStore
from tests.support import PATIENCE_SECONDS

from .server import ApiServer, Manifest, Refused, owner

NAMESPACE = "studies"
EXPERIMENT_LABEL = "katib.kubeflow.org/experiment"
EDITABLE = ("maxTrialCount", "parallelTrialCount", "maxFailedTrialCount")

"""How long a trial waits to learn its number from an engine."""


class KatibController:
    """Reconciles whenever something changes; use as a context manager.

    Attributes:
        trial: what Jobs execute instead of their command; None: the command, by the shell, as Katib's webhook makes it.
        collects: whether the metrics collector finds the objective.
        pods_write: whether what pods write reaches the ledger's place.
        numbered: whether trials wait to learn their number; to be cleared where no engine runs.
        paused: while set, nothing is reconciled.
    """

    def __init__(self, api: ApiServer, trial: TrialFunction | None = None) -> None:
        self.api = api
        self.trial = trial
        self.collects = True
        self.pods_write = True
        self.numbered = multiprocessing.get_context("fork").Event()
        self.numbered.set()
        self.paused = threading.Event()
        self._processes: dict[str, BaseProcess] = {}
        self._scores: dict[str, Any] = {}
        self._suggested: dict[str, list[dict[str, str]]] = {}
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        api.checks["experiments"] = self._admit
        api.restoring |= {"experiments", "trials"}
        self.errors: list[BaseException] = []

    def __enter__(self) -> KatibController:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        for process in self._processes.values():
            process.kill()
            process.join()
        assert not self.errors, self.errors

    def _run(self) -> None:
        while not self._stop.is_set():
            if not self.paused.is_set():
                try:
                    self._reconcile()
                except Refused:
                    pass  # Somebody else changed it meanwhile; the next turn sees that.
                except BaseException as error:
                    self.errors.append(error)
                    raise
            with self.api.changed:
                self.api.changed.wait(0.01)

    def _reconcile(self) -> None:
        for job in self.api.list("jobs", NAMESPACE):
            self._reconcile_job(job)
        self._reap()
        for trial in self.api.list("trials", NAMESPACE):
            self._reconcile_trial(trial)
        for experiment in self.api.list("experiments", NAMESPACE):
            self._reconcile_experiment(experiment)

    # Jobs.

    def _reconcile_job(self, job: Manifest) -> None:
        name, uid = job["metadata"]["name"], job["metadata"]["uid"]
        if has(job, "Complete", "Failed"):
            return
        if uid not in self._processes:
            self._processes[uid] = self._start(job)
            return
        process = self._processes[uid]
        if process.is_alive():
            return
        process.join()
        if process.exitcode == 0:
            self._mark("jobs", name, "Complete", "CompletionsReached", "Reached expected number of succeeded pods")
        else:
            message = "Job has reached the specified backoff limit"
            self._mark("jobs", name, "Failed", "BackoffLimitExceeded", message)

    def _start(self, job: Manifest) -> BaseProcess:
        container = job["spec"]["template"]["spec"]["containers"][0]
        receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
        self._scores[job["metadata"]["name"]] = receiver
        place = (job["metadata"].get("annotations") or {}).get(LEDGER_ANNOTATION, "")
        run = (_execute, (self.trial, container, place, sender, self.pods_write, self.numbered))
        if self.trial is None:
            run = (_run_command, (container, sender))
        process = multiprocessing.get_context("fork").Process(target=run[0], args=run[1], daemon=True)
        process.start()
        sender.close()
        return process

    def _reap(self) -> None:
        """Kill the processes of Jobs that were deleted."""
        alive = {job["metadata"]["uid"] for job in self.api.list("jobs", NAMESPACE)}
        for uid in [uid for uid in self._processes if uid not in alive]:
            process = self._processes.pop(uid)
            process.kill()
            process.join()

    # Trials.

    def _reconcile_trial(self, trial: Manifest) -> None:
        name = trial["metadata"]["name"]
        if not has(trial, "Created"):
            self._mark("trials", name, "Created", "TrialCreated", "Trial is created")
            return
        if has(trial, "Succeeded", "Failed", "MetricsUnavailable"):
            return
        try:
            job = self.api.get("jobs", NAMESPACE, name)
        except Refused:
            run = json.loads(json.dumps(trial["spec"]["runSpec"]))
            run["metadata"]["ownerReferences"] = [owner("kubeflow.org/v1beta1", "Trial", trial)]
            self.api.create("jobs", NAMESPACE, run)
            return
        if has(job, "Failed"):
            message = "Trial has failed. Job message: Job has reached the specified backoff limit"
            self._mark("trials", name, "Failed", "TrialFailed. Job reason: BackoffLimitExceeded", message)
        elif has(job, "Complete"):
            score = self._scores[name].recv() if self._scores[name].poll() else None
            if score is None or not self.collects:
                self._mark("trials", name, "MetricsUnavailable", "MetricsUnavailable", "Metrics are not available")
                return
            metric = trial["spec"]["objective"]["objectiveMetricName"]
            observed = {"name": metric, "min": str(score), "max": str(score), "latest": str(score)}
            message = "Trial has succeeded. Job message: Reached expected number of succeeded pods"
            reason = "TrialSucceeded. Job reason: CompletionsReached"
            self._mark("trials", name, "Succeeded", reason, message, [observed])
        elif not has(trial, "Running"):
            self._mark("trials", name, "Running", "TrialRunning", "Trial is running")

    # Experiments.

    def _reconcile_experiment(self, experiment: Manifest) -> None:
        name, spec, status = experiment["metadata"]["name"], experiment["spec"], experiment.get("status") or {}
        ended = has(experiment, "Succeeded", "Failed")
        if ended:
            restartable = _reason(experiment) == "ExperimentMaxTrialsReached" and spec["resumePolicy"] != "Never"
            if restartable and spec["maxTrialCount"] > status.get("trials", 0):
                self.api.update("experiments", NAMESPACE, name, _restarted)
            return
        if not has(experiment, "Created"):
            self._mark("experiments", name, "Created", "ExperimentCreated", "Experiment is created")
            return
        trials = self.api.list("trials", NAMESPACE, f"{EXPERIMENT_LABEL}={name}")
        succeeded = [trial for trial in trials if has(trial, "Succeeded")]
        failed = [trial for trial in trials if has(trial, "Failed", "MetricsUnavailable")]
        active = len(trials) - len(succeeded) - len(failed)
        objective = spec["objective"]
        sign = 1 if objective["type"] == "maximize" else -1
        scores = [sign * float(trial["status"]["observation"]["metrics"][0]["latest"]) for trial in succeeded]
        if status.get("trials") != len(trials):
            self.api.update("experiments", NAMESPACE, name, lambda item: _status(item).update(trials=len(trials)))
        most_failed = spec.get("maxFailedTrialCount")
        if "goal" in objective and scores and max(scores) >= sign * objective["goal"]:
            self._end(name, "Succeeded", "ExperimentGoalReached", "Objective goal has reached")
        elif most_failed is not None and failed and len(failed) >= most_failed:
            self._end(name, "Failed", "ExperimentFailed", "max failed count has reached")
        elif len(succeeded) + len(failed) >= spec["maxTrialCount"]:
            self._end(name, "Succeeded", "ExperimentMaxTrialsReached", "max trial count has reached")
        else:
            wanted = min(spec["parallelTrialCount"], spec["maxTrialCount"] - len(succeeded) - len(failed)) - active
            for _ in range(wanted):
                self._create_trial(experiment)

    def _create_trial(self, experiment: Manifest) -> None:
        """Create a Trial as `getTrialInstance` does, under the name that the suggestion client makes."""
        name = experiment["metadata"]["name"]
        assignments = self._suggest(experiment)
        trial_name = f"{name}-{''.join(random.choices('bcdfghjklmnpqrstvwxz2456789', k=8))}"
        owners = [owner("kubeflow.org/v1beta1", "Experiment", experiment)]
        if ("suggestions", NAMESPACE, name) not in self.api.objects:
            made = {"metadata": {"name": name, "ownerReferences": owners}, "status": {"suggestions": []}}
            self.api.create("suggestions", NAMESPACE, made)
        suggested = {"name": trial_name}
        self.api.update("suggestions", NAMESPACE, name, lambda item: item["status"]["suggestions"].append(suggested))
        template = experiment["spec"]["trialTemplate"]
        values = {item["name"]: assignments.get(item["reference"], trial_name) for item in template["trialParameters"]}
        text = json.dumps(template["trialSpec"])
        for parameter, value in values.items():
            text = text.replace(f"${{trialParameters.{parameter}}}", value)
        run = json.loads(text)
        run["metadata"] = {**run.get("metadata", {}), "name": trial_name, "namespace": NAMESPACE}
        labels = {**experiment["metadata"].get("labels", {}), EXPERIMENT_LABEL: name}
        spec = {
            "objective": experiment["spec"]["objective"],
            "parameterAssignments": [{"name": key, "value": value} for key, value in assignments.items()],
            "runSpec": run,
        }
        trial = {"metadata": {"name": trial_name, "labels": labels, "ownerReferences": owners}, "spec": spec}
        self.api.create("trials", NAMESPACE, {"apiVersion": "kubeflow.org/v1beta1", "kind": "Trial", **trial})

    def _suggest(self, experiment: Manifest) -> dict[str, str]:
        """The next params, from what this Experiment's Trials have achieved; nothing else is known to it."""
        uid = experiment["metadata"]["uid"]
        given = self._suggested.setdefault(uid, [])
        neutral = from_katib(
            {name: experiment[name] for name in ("apiVersion", "kind", "spec")} | {"metadata": {"name": "a"}}
        )
        study = neutral.experiment
        known = []
        trials = self.api.list("trials", NAMESPACE, f"{EXPERIMENT_LABEL}={experiment['metadata']['name']}")
        for trial in trials:
            if has(trial, "Succeeded"):
                texts = {item["name"]: item["value"] for item in trial["spec"]["parameterAssignments"]}
                params = params_given([f"--{key}={value}" for key, value in texts.items()], {}, study.space)
                score = float(trial["status"]["observation"]["metrics"][0]["latest"])
                known.append(TrialRecord(number=given.index(texts), params=params, status="succeeded", score=score))
        suggestion = suggester_for(study, sorted(known, key=lambda item: item.number)).suggest(len(given))
        texts = {key: to_text(value) for key, value in suggestion.params.items()}
        given.append(texts)
        return texts

    def _end(self, name: str, condition: str, reason: str, message: str) -> None:
        self._mark("experiments", name, condition, reason, f"Experiment has {condition.lower()} because {message}")

    def _mark(
        self, plural: str, name: str, kind: str, reason: str, message: str, metrics: list[Any] | None = None
    ) -> None:
        def change(item: Manifest) -> None:
            status = _status(item)
            running = [other for other in status["conditions"] if other["type"] == "Running"]
            for other in running if kind not in ("Created", "Running") else ():
                other["status"] = "False"
            status["conditions"].append({"type": kind, "status": "True", "reason": reason, "message": message})
            if metrics is not None:
                status["observation"] = {"metrics": metrics}

        self.api.update(plural, NAMESPACE, name, change)

    def _admit(self, new: Manifest, old: Manifest | None) -> None:
        """The validating webhook, as far as Podium could break its rules."""
        namespace = self.api.get("namespaces", "", NAMESPACE)
        if namespace["metadata"].get("labels", {}).get("katib.kubeflow.org/metrics-collector-injection") != "enabled":
            raise _denied(f'Cannot create the Experiment: the namespace "{NAMESPACE}" lacks label')
        spec = new["spec"]
        if not isinstance(spec["parallelTrialCount"], int) or spec["parallelTrialCount"] > spec["maxTrialCount"]:
            raise _denied("spec.parallelTrialCount: Invalid value: should be less than or equal to spec.maxTrialCount")
        if (spec.get("maxFailedTrialCount") or 0) > spec["maxTrialCount"]:
            raise _denied("spec.maxFailedTrialCount: Invalid value: should be less than or equal to spec.maxTrialCount")
        if old is None or spec == old["spec"]:
            return
        if has(old, "Succeeded", "Failed") and (
            _reason(old) != "ExperimentMaxTrialsReached" or old["spec"]["resumePolicy"] == "Never"
        ):
            raise _denied("spec.resumePolicy: Invalid value: Experiment can be restarted if it is in succeeded state")
        if spec["maxTrialCount"] <= old.get("status", {}).get("trials", 0):
            raise _denied("spec.maxTrialCount: Invalid value: must be greater than status.trials count")
        if {k: v for k, v in spec.items() if k not in EDITABLE} != {
            k: v for k, v in old["spec"].items() if k not in EDITABLE
        }:
            raise _denied("spec: Forbidden: only spec.parallelTrialCount, spec.maxTrialCount … are editable")


def _execute(
    trial: TrialFunction, container: Mapping[str, Any], place: str, scores: Any, writes: bool, numbered: Any
) -> None:
    """What the container does, as `podium.hpo.trial_container` does it, with another trial function.

    Only here does a trial learn its number, from the ledger, so that tests can say which trial does what.
    """
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    environment = {item["name"]: item["value"] for item in container["env"]}
    name = environment[NAME_VARIABLE]
    root, _, prefix = place.partition("/documents/")
    documents = ArtifactStore(root).documents(prefix)
    remote = TrialDocuments(documents.below(name) if writes else ArtifactStore("memory://pod").documents(name))
    code = 1
    try:
        number = remote.record.number if remote.record else _number(TrialLedger(documents), name, numbered)
        arguments = [item for item in container["command"] if item.startswith("--")]
        params = params_given(arguments, {}, json_space(environment["SPACE"]))
        record = remote.execute(trial, params, number)
        if record.status != "failed":
            scores.send(record.score)
            code = 0
    finally:
        os._exit(code)


def _run_command(container: Mapping[str, Any], scores: Any) -> None:
    """Run the command line as `wrapWorkerContainer` joins it, and collect the last value of its objective."""
    variables = {item["name"]: item["value"] for item in container["env"]}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    command = " ".join(container["command"])
    try:
        done = subprocess.run(
            ["sh", "-c", f"{command} 2>&1"],
            env={**os.environ, **variables, "PATH": path},
            stdout=subprocess.PIPE,
            text=True,
            check=False,
        )
        values = re.findall(r"macro_f1\s*=\s*([+-]?\d*(?:\.\d+)?(?:[Ee][+-]?\d+)?)", done.stdout)
        print(done.stdout)
        if done.returncode == 0 and values:
            scores.send(float(values[-1]))
    finally:
        os._exit(done.returncode)


def _number(ledger: TrialLedger, name: str, numbered: Any) -> int:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while numbered.is_set() and time.monotonic() < deadline:
        for record in ledger.trials():
            if record.labels.get("katib_trial") == name:
                return record.number
        time.sleep(0.02)
    return 0


def json_space(text: str) -> Any:
    from podium.hpo.experiment import Space

    return Space(parameters=json.loads(text))


def has(manifest: Manifest, *types: str) -> bool:
    conditions = (manifest.get("status") or {}).get("conditions") or ()
    return any(item["type"] in types and item["status"] == "True" for item in conditions)


def _status(item: Manifest) -> Manifest:
    status: Manifest = item.setdefault("status", {})
    status.setdefault("conditions", [])
    return status


def _reason(experiment: Manifest) -> str:
    conditions = experiment["status"]["conditions"]
    return next(item["reason"] for item in conditions if item["type"] in ("Succeeded", "Failed"))


def _restarted(experiment: Manifest) -> None:
    status = _status(experiment)
    status["conditions"] = [item for item in status["conditions"] if item["type"] not in ("Succeeded", "Failed")]
    restarting = {"type": "Restarting", "status": "True", "reason": "ExperimentRestarting", "message": "restarted"}
    status["conditions"].append(restarting)


def _denied(message: str) -> Refused:
    return Refused(
        400,
        "BadRequest",
        f'admission webhook "validator.experiment.katib.kubeflow.org" denied the request: {message}',
    )
