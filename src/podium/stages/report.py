"""Step `report`: one page that shows the answer and the evidence behind it; closes the parent run."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

from podium.records import (
    BenchmarkRecord,
    DataRecord,
    DecisionRecord,
    ModelRecord,
    Record,
    ReportRecord,
    RunRecord,
    SelectionRecord,
    StudyRecord,
)
from podium.report import Rendered, ReportInputs, render
from podium.report.render import HTML_FILE, MARKDOWN_FILE, METRICS_FILE
from podium.stages.context import step_context
from podium.stages.keys import report_key
from podium.stages.step import StepRun, open_store, run_step
from podium.stages.summary import summarise
from podium.tracking import tracker_for


def report(
    run: RunRecord,
    data: DataRecord,
    studies: Sequence[StudyRecord],
    models: Sequence[ModelRecord],
    selection: SelectionRecord,
    benchmark: BenchmarkRecord,
    decision: DecisionRecord,
) -> Rendered:
    """Render the report, or return the stored one.

    In a pod this is the last step, so it ends the parent run too; on a laptop the local runner does.
    """
    command = os.environ.get("PODIUM_COMMAND", "")
    inputs = ReportInputs(run, data, tuple(studies), tuple(models), selection, benchmark, decision, command=command)

    def compute(step: StepRun) -> ReportRecord:
        return _compute(step, inputs)

    with step_context("report") as directory:
        records: list[Record] = [data, *studies, *models, selection, benchmark, decision]
        parents = {"decision": decision.key, "benchmark": benchmark.key, "selection": selection.key, "data": data.key}
        key = report_key(records)
        record = run_step(run, key, ReportRecord, compute, parents=parents, directory=directory)
        folder = open_store(run.config).fetch(record.artifacts["report"])
        rendered = _read(folder)
        if directory:
            (directory / HTML_FILE).write_text(rendered.html, encoding="utf-8")
        else:
            close_run(run, [*records, record])
        return rendered


def _compute(step: StepRun, inputs: ReportInputs) -> ReportRecord:
    rendered = render(inputs)
    with step.store.scratch() as scratch:
        rendered.save(scratch / "report")
        artifact = step.store.put_artifact("report", scratch / "report")
        for file in sorted((scratch / "report").iterdir()):
            step.tracker.log_file(step.mlflow_run_id, file, "report")
    summary = summarise(inputs)
    return ReportRecord(**step.stamp, summary=summary, artifacts={"report": artifact})


def _read(folder: Path) -> Rendered:
    page, summary, figures = (
        (folder / name).read_text(encoding="utf-8") for name in (HTML_FILE, MARKDOWN_FILE, METRICS_FILE)
    )
    return Rendered(page, summary, json.loads(figures))


def close_run(run: RunRecord, records: Sequence[Record]) -> None:
    """Tag the parent run with the key of every result, computed or reused, and end it."""
    tracker = tracker_for(run.config.tracking)
    parent = run.mlflow_run_id or ""
    tags = {f"podium.result.{step_name(record)}": record.key for record in records}
    tracker.set_tags(parent, tags)
    tracker.close(parent, "FINISHED")


_STEPS = {"data": "prepare", "selection": "select", "decision": "decide", "study": "hpo"}


def step_name(record: Record) -> str:
    """Name of the step that made a record."""
    name = _STEPS.get(record.kind, record.kind)
    return f"{name}-{record.backbone}" if isinstance(record, (StudyRecord, ModelRecord)) else name
