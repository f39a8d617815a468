"""Runs a Katib Experiment file on this machine, from reading it to the summary at the end."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

from rich.console import Console

from podium.display.terminal import say, say_facts
from podium.errors import ConfigError, StudyFailed
from podium.events import emit
from podium.hpo.suggest import suggester_for
from podium.katib.experiment import KatibExperiment, from_katib, render, to_katib, trial_name
from podium.katib.read import at
from podium.katib_local.command import check_template, local_command, not_honoured
from podium.katib_local.study import LocalStudy, study_key
from podium.local.progress import progress_view, report_to
from podium.store.store import ArtifactStore
from podium.strict_yaml import kubernetes_yaml

_COUNTS = {
    "trialsSucceeded": "succeeded",
    "trialsEarlyStopped": "stopped early",
    "trialsFailed": "failed",
    "trialMetricsUnavailable": "without metrics",
    "trialsKilled": "killed",
}


def read_experiment(file: Path, seed: int) -> KatibExperiment:
    """The experiment in a file; the error of one that cannot be read or run here names file and field."""
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: a file with a Katib Experiment is expected, but got {error}") from error
    with at(str(file)):
        return from_katib(text, seed)


def run_katib(file: Path, katib: KatibExperiment, directory: Path, fresh: bool, console: Console) -> dict[str, Any]:
    """Run or resume the study of an experiment, draw its progress, print how it ended; return it with its status."""
    name, root = katib.experiment.name, directory.absolute()
    with at(str(file)):
        check_template(katib)
    with ArtifactStore(str(root / "store")).lease(study_key(katib)):
        with at(str(file)):
            study = LocalStudy(katib, root, fresh)
        console.print(f"Experiment {name}: {_found(study)}", highlight=False, soft_wrap=True)
        for note in not_honoured(katib):
            say(console, f"  not honoured: {note}")
        events = study.directory / "events.jsonl"
        with report_to(events, name), progress_view(events, console):
            resource = _run(study, file)
    _print_summary(resource, study.directory, console)
    return resource


def _run(study: LocalStudy, file: Path) -> dict[str, Any]:
    started = monotonic()
    emit("step_started")
    try:
        resource = study.run(str(file))
    except BaseException as error:
        emit("step_failed", seconds=monotonic() - started, error=str(error), stopped=not isinstance(error, Exception))
        raise
    emit("step_finished", how="reused" if study.is_over else "computed", key=study_key(study.katib).digest)
    return resource


def _found(study: LocalStudy) -> str:
    budget = f"{study.katib.experiment.max_trials} trials, {study.katib.experiment.parallel_trials} at once"
    if not study.found:
        return budget
    ended = sum(trial.status != "running" for trial in study.found)
    return f"{budget}; {ended} are done" + (", nothing is left to do" if study.is_over else "")


def _print_summary(resource: Mapping[str, Any], directory: Path, console: Console) -> None:
    status = resource["status"]
    end = status["conditions"][-1]
    counts = [f"{status[count]} {words}" for count, words in _COUNTS.items() if status.get(count)]
    lines = {"Outcome": f"{end['type']} ({end['reason']}): {end['message']}", "Trials": ", ".join(counts)}
    if best := status.get("currentOptimalTrial"):
        values = " ".join(f"{item['name']}={item['value']}" for item in best["parameterAssignments"])
        lines["Best"] = f"{best['bestTrialName']}: {values}"
        lines["Metrics"] = "; ".join(
            f"{metric['name']} min={metric['min']} max={metric['max']} latest={metric['latest']}"
            for metric in best["observation"]["metrics"]
        )
    lines |= {
        "Status": str(directory / "experiment.yaml"),
        "Trials in": str(directory / "trials"),
        "Logs": str(directory / "logs"),
    }
    console.print()
    say_facts(console, lines, width=11)


def check_end(resource: Mapping[str, Any]) -> None:
    """Raise StudyFailed for an experiment that failed, or that succeeded, as Katib calls it, without an objective."""
    status = resource["status"]
    end = status["conditions"][-1]
    if end["type"] == "Failed" or "currentOptimalTrial" not in status:
        missing = "" if end["type"] == "Failed" else ", but no trial gave a value of its objective"
        name = resource["metadata"]["name"]
        raise StudyFailed(f"experiment {name}: {end['message']}{missing}; see the logs of its trials")


def plan_katib(file: Path, katib: KatibExperiment, directory: Path, fresh: bool) -> str:
    """What `run_katib` would do, and the experiment with every default spelt out; nothing is written."""
    with at(str(file)):
        check_template(katib)
        with at("spec.algorithm"):
            suggestion = suggester_for(katib.experiment, ()).suggest(0)
        assert suggestion is not None
        command = local_command(katib, render(katib, 0, suggestion.params), None)
        found = "nothing"
        if (directory / "store").exists():
            study = LocalStudy(katib, directory.absolute(), fresh)
            found = _found(study) if study.found else found
    return "\n".join(
        [
            kubernetes_yaml(to_katib(katib)),
            f"First trial: {trial_name(katib, 0)}",
            f"  {shlex.join(command.arguments)}",
            *(f"  {name}={value}" for name, value in command.environment.items()),
            *(f"Not honoured: {note}" for note in not_honoured(katib)),
            f"Reused: {found}",
        ]
    )
