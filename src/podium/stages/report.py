"""Step `report`: one page that shows the answer and its evidence, and the answer in a few lines."""

from __future__ import annotations

import json
import os
import shutil
from datetime import UTC, datetime
from typing import Any

from podium.records import (
    DataRecord,
    DecisionRecord,
    Interval,
    LabelReview,
    Measurement,
    ModelRecord,
    Record,
    ReportRecord,
    RunRecord,
    SelectionRecord,
)
from podium.report import ReportInputs, render
from podium.report.learning_curve import answer
from podium.report.render import HTML_FILE, MARKDOWN_FILE, METRICS_FILE
from podium.stages.step import StepRun, open_store
from podium.stages.steps import title_of
from podium.tasks import TASKS
from podium.tracking.base import TAG_PROFILE


def compute(step: StepRun) -> ReportRecord:
    """Render the report of everything that the run made, and name the winner's profile at its registered version."""
    command = os.environ.get("PODIUM_COMMAND", "")
    elapsed = (datetime.now(UTC) - step.run.created_at).total_seconds()
    steps = {title_of(record): record for record in step.results}
    shown = ReportInputs(step.run, steps, command=command, failed=step.failed, texts=_texts(step), elapsed=elapsed)
    with step.store.scratch() as scratch:
        render(shown).save(scratch / "report")
        artifact = step.store.put_artifact("report", scratch / "report")
        for file in sorted((scratch / "report").iterdir()):
            step.tracker.log_file(step.mlflow_run_id, file, "report")
    # Here, since a stored profile may belong to a version that is new.
    if (version := shown.decision.registered) and shown.profile.status != "skipped":
        step.tracker.tag_version(version["name"], version["version"], {TAG_PROFILE: shown.profile.key})
    return ReportRecord(**step.stamp, summary=_summary(shown), artifacts={"report": artifact})


def publish(run: str, record: Record, page: Any, summary: Any, metrics: Any, confusion: Any) -> None:
    """Show a report in the UI of Kubeflow Pipelines.

    Args:
        run: path of the run's record.
        page: the artifact whose file becomes the HTML page.
        summary: the artifact whose file becomes the Markdown summary.
        metrics: a Metrics artifact, which takes the winner's figures.
        confusion: a ClassificationMetrics artifact, which takes its confusion matrix where rows have one label.
    """
    store = open_store(RunRecord.read(run).config)
    folder = store.fetch(record.artifacts["report"])
    shutil.copyfile(folder / HTML_FILE, page.path)
    shutil.copyfile(folder / MARKDOWN_FILE, summary.path)
    for name, value in json.loads((folder / METRICS_FILE).read_text(encoding="utf-8")).items():
        metrics.log_metric(name, value)
    decision = store.get(DecisionRecord, record.parents["decision"])
    winner = decision and store.get(ModelRecord, record.parents.get(f"refit.{decision.winner}", ""))
    if winner and winner.details.get("confusion"):
        confusion.log_confusion_matrix(list(winner.details["labels"]), winner.details["confusion"])


def _texts(step: StepRun) -> dict[str, str]:
    """The texts of as many rows with a suspicious label as the config asks for, by id; those in doubt most first."""
    issues = step.one(SelectionRecord).labels.clearest
    wanted = list(dict.fromkeys(issue.row for issue in issues))[: step.config.report.examples]
    if not wanted:
        return {}
    from podium.data.artifact import DataArtifact

    data = step.one(DataRecord)
    rows, task = DataArtifact(step.store.fetch(data.artifacts["data"])).development, TASKS.get(data.task)
    place = {row: number for number, row in enumerate(rows["id"])}
    return {row: task.as_text(rows[place[row]][task.content]) for row in wanted}


def _summary(inputs: ReportInputs) -> dict[str, Any]:
    """The winner, its score, its latency and the verdict: figures for machines, and `lines` for people."""
    decision, selection = inputs.decision, inputs.selection
    entry, test, measured = inputs.winner, inputs.winner_test, inputs.winner_measurement
    form = f" as {decision.winner_variant}" if decision.winner_variant not in (None, "eager") else ""
    lines = {"Data": _rows_text(inputs.data)}
    if inputs.plan:
        lines["Plan"] = "\n".join(f"{name}: {text}" for name, text in inputs.plan.items())
    lines["Winner"] = f"{decision.winner}{form} (trial {entry.trial} of its study)" if entry else "none"
    if best := inputs.better:
        lines["Winner"] += f"; the best by score is {best.entrant}, {selection.metric} {best.test.value:.3f}"
    if test:
        lines["Score"] = f"{selection.metric} {_interval_text(test)} on {inputs.data.rows['test']:,} held-out rows"
        if corrected := inputs.corrected_score:
            lines["Score"] += f"; {_interval_text(corrected)} corrected for the choice among candidates"
        if (copies := decision.evidence.copied_rows) and copies.score:
            new = inputs.data.rows["test"] - copies.rows
            lines["Score"] += f"; {_interval_text(copies.score)} on the {new:,} that nearly repeat no row learned from"
    if entry and (model := inputs.model_of(entry)) and (only := model.details.get("only_answer")):
        lines["Winner"] += f"; it {only}"
    if measured:
        lines["Latency"] = _latency_text(measured)
    if inputs.curve.status != "skipped":
        lines["Data"] += f"\n{answer(inputs.curve)}"
    if inputs.profile.findings:
        lines["Time"] = inputs.profile.findings[0].text
    if selection.labels.suspected:
        lines["Labels"] = _labels_text(selection.labels)
    verdict = f"{decision.verdict}, with caution" if inputs.careful else decision.verdict
    verdict += f" ({inputs.competed})" if inputs.competed else ""
    remarks = [*(reason.text for reason in decision.reasons), *(f"Caution: {one}." for one in inputs.data.cautions)]
    lines["Verdict"] = "\n".join([verdict, *(f"- {remark}" for remark in remarks)])
    if inputs.failed:
        lines["Failed"] = "\n".join(f"{one.title}: {one.brief}\n  log: {one.log}" for one in inputs.failed)
    return {
        "winner": decision.winner,
        "verdict": decision.verdict,
        "failed": {one.entrant: one.error for one in inputs.failed},
        "metric": selection.metric,
        "score": test.model_dump() if test else None,
        "learning_curve": inputs.curve.figures,
        "latency_ms": {str(item.q): item.value_ms for item in measured.latency} if measured else {},
        "registered": decision.registered,
        "lines": lines,
    }


def _rows_text(data: DataRecord) -> str:
    """What became of every row that was read."""
    gone = (
        (data.left_out, "left out by dataset.max_rows"),
        (data.duplicates, "duplicate dropped" if data.duplicates == 1 else "duplicates dropped"),
        (data.rejected, "rejected"),
    )
    splits = ", ".join(f"{rows:,} {split}" for split, rows in data.rows.items())
    used = f"{sum(data.rows.values()):,} of {data.read_rows:,} rows used ({splits})"
    return "; ".join([used, *(f"{count:,} {why}" for count, why in gone if count)])


def _labels_text(review: LabelReview) -> str:
    rows = f"{review.suspected:,} of {review.rows:,} development rows"
    if review.status == "degraded":
        return f"{rows} are suspected: {review.reason}; see Labels in the report"
    return f"{rows} look mislabelled: see Labels in the report"


def _interval_text(interval: Interval) -> str:
    return f"{interval.value:.3f} [{interval.low:.3f}, {interval.high:.3f}] ({interval.confidence:.0%})"


def _latency_text(measured: Measurement) -> str:
    times = ((item.q, item.value_ms) for item in measured.latency)
    quantiles = ", ".join(f"p{q * 100:g} {value:.{1 if value >= 1 else 2}f} ms" for q, value in times)
    rate = f"{measured.throughput_per_second.value:.0f} rows/s at batch {measured.batch_size}"
    unstable = "; unstable: see the report" if measured.unstable else ""
    return f"{quantiles} at batch 1; {rate} ({measured.variant}){unstable}"
