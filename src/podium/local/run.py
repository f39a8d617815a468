"""One local run, from the form to the summary a user reads at the end."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from podium.config.schema import PodiumConfig
from podium.local.progress import ProgressView
from podium.local.rundir import RunDirectory
from podium.local.runner import run_pipeline
from podium.records import ReportRecord
from podium.stages.run_form import RunForm


def run_locally(form: RunForm, config: PodiumConfig, console: Console, command: str) -> None:
    """Run the pipeline, draw its progress, and print the answer.

    Raises:
        PodiumError: a step failed; what was finished before stays stored.
    """
    directory = RunDirectory.create(Path(config.output), form, command)
    console.print(f"Run {directory.run_id}: {config.dataset.name}, {', '.join(config.backbones)}", highlight=False)
    try:
        with ProgressView(directory.events, console):
            run_pipeline(form, directory)
    except KeyboardInterrupt:
        directory.finish("stopped")
        raise
    directory.finish("done")
    record = ReportRecord.read(directory.path / "steps" / "report" / "record.json")
    _print_summary(record.summary, directory, config, console)


def _print_summary(summary: dict[str, Any], directory: RunDirectory, config: PodiumConfig, console: Console) -> None:
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in summary["lines"].items():
        table.add_row(name, text)
    table.add_row("Report", f"{directory.path / 'report.html'}  (open it in a browser)")
    if config.tracking.mode == "mlflow":
        table.add_row("MLflow", f"{config.tracking.uri}\nmlflow ui --backend-store-uri {config.tracking.uri}")
    table.add_row("Store", str(config.store))
    table.add_row("Logs", str(directory.path / "steps"))
    console.print()
    console.print(table)
