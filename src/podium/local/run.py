"""One local run, from the form to the summary a user reads at the end."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from podium.config.schema import PodiumConfig
from podium.errors import PodiumError, TrackingError
from podium.local.parent import ParentRun
from podium.local.progress import ProgressView
from podium.local.rundir import RunDirectory
from podium.local.runner import run_pipeline
from podium.records import ReportRecord
from podium.stages.run_form import RunForm
from podium.tracking import redact
from podium.tracking.base import RunStatus

_log = logging.getLogger(__name__)


def run_locally(form: RunForm, config: PodiumConfig, console: Console, command: str) -> None:
    """Run the pipeline, draw its progress, and print the answer.

    Raises:
        PodiumError: a step failed; what was finished before stays stored.
    """
    directory = RunDirectory.create(Path(config.output), form, command)
    console.print(f"Run {directory.run_id}: {config.dataset.name}, {', '.join(config.backbones)}", highlight=False)
    parent = ParentRun(config.tracking, directory)
    try:
        with ProgressView(directory.events, console):
            run_pipeline(form, directory)
    except KeyboardInterrupt:
        directory.finish("stopped")
        _end_unhappily(parent, "KILLED", {})
        raise
    except PodiumError as error:
        directory.finish("failed")
        _end_unhappily(parent, "FAILED", {"podium.error": str(error)})
        raise
    directory.finish("done")
    parent.end("FINISHED", directory.result_tags())
    record = ReportRecord.read(directory.path / "steps" / "report" / "record.json")
    _print_summary(record.summary, directory, config, console)


def _end_unhappily(parent: ParentRun, status: RunStatus, tags: dict[str, str]) -> None:
    """End the parent run without hiding why the run ended."""
    try:
        parent.end(status, tags)
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
