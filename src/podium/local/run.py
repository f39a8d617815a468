"""One local run, from the config to the summary a user reads at the end."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from rich.console import Console
from rich.markup import escape

from podium.config.schema import PodiumConfig
from podium.errors import PodiumError, TrackingError
from podium.local.progress import ProgressView
from podium.local.rundir import RunDirectory
from podium.local.runner import LocalRun
from podium.records import ReportRecord, RunRecord
from podium.report.render import HTML_FILE
from podium.stages.prepare import locate_backbones, new_run
from podium.stages.step import open_store
from podium.stages.steps import STEPS, result_tags
from podium.tracking import redact, tracker_for
from podium.tracking.base import RunStatus

_log = logging.getLogger(__name__)


def run_locally(config: PodiumConfig, console: Console, command: str) -> None:
    """Run the graph, draw its progress, and print the answer.

    Every backbone is located before anything is computed, so that a missing one costs no training.

    Raises:
        PodiumError: a step failed; what was finished before stays stored.
    """
    locate_backbones(config)
    directory = RunDirectory.create(Path(config.output), command)
    console.print(f"Run {directory.run_id}: {config.dataset.name}, {', '.join(config.backbones)}", highlight=False)
    try:
        local = LocalRun(new_run(config, directory.run_id), directory)
    except PodiumError:
        directory.finish("failed")
        raise
    try:
        with ProgressView(directory.events, console):
            local.go()
    except KeyboardInterrupt:
        directory.finish("stopped")
        _end_parent_quietly(local.run, "KILLED", {})
        raise
    except PodiumError as error:
        directory.finish("failed")
        _end_parent_quietly(local.run, "FAILED", {"podium.error": str(error)})
        raise
    record = cast(ReportRecord, local.records[STEPS[-1].title()])
    page = open_store(config).fetch(record.artifacts["report"]) / HTML_FILE
    directory.finish("done", page)
    _end_parent(local.run, "FINISHED", result_tags(local.records.values()))
    _print_summary(record.summary, directory, config, console)


def _end_parent(run: RunRecord, status: RunStatus, tags: Mapping[str, str]) -> None:
    """Tag and end the parent run in MLflow, if there is one."""
    if run.mlflow_run_id:
        tracker = tracker_for(run.config.tracking)
        tracker.set_tags(run.mlflow_run_id, tags)
        tracker.close(run.mlflow_run_id, status)


def _end_parent_quietly(run: RunRecord, status: RunStatus, tags: Mapping[str, str]) -> None:
    """End the parent run without hiding why the run ended."""
    try:
        _end_parent(run, status, tags)
    except TrackingError as error:
        _log.warning("the run could not be marked %s in MLflow: %s", status, error)


def _print_summary(summary: dict[str, Any], directory: RunDirectory, config: PodiumConfig, console: Console) -> None:
    lines = dict(summary["lines"])
    lines["Report"] = f"{directory.path / 'report.html'}  (open it in a browser)"
    if config.tracking.mode == "mlflow":
        uri = redact(config.tracking.uri or "")
        lines["MLflow"] = f"{uri}\nopen it with: mlflow ui --backend-store-uri {uri}"
    lines["Store"] = str(config.store)
    lines["Logs"] = str(directory.path / "steps")
    console.print()
    for name, text in lines.items():
        first, *rest = text.splitlines()
        console.print(f"[bold]{name:<9}[/bold]{escape(first)}", highlight=False, soft_wrap=True)
        for line in rest:
            console.print(f"{'':<9}{escape(line)}", highlight=False, soft_wrap=True)
