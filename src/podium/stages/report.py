"""Step `report`: one page that shows the answer and the evidence behind it."""

from __future__ import annotations

import json
import os

from podium.records import Record, ReportRecord, RunRecord
from podium.report import Rendered, ReportInputs, render
from podium.report.render import HTML_FILE, MARKDOWN_FILE, METRICS_FILE
from podium.stages.step import StepInputs, StepRun, open_store
from podium.stages.steps import title_of
from podium.stages.summary import summarise


def compute(step: StepRun, inputs: StepInputs) -> ReportRecord:
    """Render the report of everything that the run made."""
    command = os.environ.get("PODIUM_COMMAND", "")
    shown = ReportInputs(inputs.run, {title_of(record): record for record in inputs.records}, command=command)
    rendered = render(shown)
    with step.store.scratch() as scratch:
        rendered.save(scratch / "report")
        artifact = step.store.put_artifact("report", scratch / "report")
        for file in sorted((scratch / "report").iterdir()):
            step.tracker.log_file(step.mlflow_run_id, file, "report")
    return ReportRecord(**step.stamp, summary=summarise(shown), artifacts={"report": artifact})


def stored_report(run: str, record: Record) -> Rendered:
    """The report that a record of this step names; `run` is the path of the run's record."""
    folder = open_store(RunRecord.read(run).config).fetch(record.artifacts["report"])
    page, summary, figures = (
        (folder / name).read_text(encoding="utf-8") for name in (HTML_FILE, MARKDOWN_FILE, METRICS_FILE)
    )
    return Rendered(page, summary, json.loads(figures))
