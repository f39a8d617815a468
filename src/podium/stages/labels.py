"""The labels of the development rows that look wrong to the champions: part of step `select`."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from podium.evaluation.label_errors import label_issues
from podium.evaluation.predictions import Predictions
from podium.records import ArtifactRef, LabelIssue, LabelPair, LabelReview, StudyRecord
from podium.stages.step import StepRun
from podium.tasks import TASKS

LABEL_ISSUES = "label_issues"
"""Name of the artifact."""
ISSUES_FILE = "label_issues.csv"
_LEAST_PRECISION = 1 / 3
"""Of the check: what it is where half of the suspected labels are wrong and the data have as many as the check adds."""
_UNSURE = (
    "either many labels are wrong, or the models are too unsure of this data to tell wrong labels from hard rows; "
    "look at the clearest ones to see which it is"
)
_SHOWN = 50


def review_labels(step: StepRun, studies: Sequence[StudyRecord]) -> tuple[LabelReview, dict[str, ArtifactRef]]:
    """Search the labels of the rows that the best trials of these studies predicted out of fold.

    Returns:
        What was found, and the artifact with all of it where there is any.
    """
    kept = {study.entrant: ref for study in studies if (ref := study.artifacts.get("out_of_fold"))}
    if not kept:
        return LabelReview(status="skipped", reason=_reason(step)), {}
    models = {name: Predictions.load(step.store.fetch(ref)) for name, ref in sorted(kept.items())}
    issues, check = label_issues(models, step.config.seed)
    pairs = Counter((one.given, one.suggested) for one in issues)
    degraded = check.precision is None or check.precision < _LEAST_PRECISION
    review = LabelReview(
        status="degraded" if degraded else "ok",
        reason=_UNSURE if degraded else "",
        entrants=tuple(models),
        rows=len(next(iter(models.values()))),
        suspected=len({one.row for one in issues}),
        pairs=tuple(LabelPair(given=a, suggested=b, rows=rows) for (a, b), rows in pairs.most_common(_SHOWN)),
        clearest=tuple(issues[:_SHOWN]),
        check=check,
    )
    if not issues:
        return review, {}
    with step.store.scratch() as scratch:
        write_issues(issues, tuple(models), scratch / ISSUES_FILE)
        return review, {LABEL_ISSUES: step.store.put_artifact(LABEL_ISSUES, scratch / ISSUES_FILE)}


def write_issues(issues: Sequence[LabelIssue], models: Sequence[str], path: Path) -> None:
    """Write a line for each label that looks wrong, the clearest first, without the text of its row."""
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(("row", "file", "line", "given", "suggested", "p_given", "p_suggested", "agreeing", "reason"))
        for one in issues:
            place, _, line = one.row.rpartition(":")
            where = (place, line) if place and line.isdigit() else (one.row, "")
            likely = f"{one.given_probability:.4f}", f"{one.suggested_probability:.4f}"
            row = (one.row, *where, one.given, one.suggested, *likely, " ".join(one.agreeing), reason_of(one, models))
            table.writerow(row)


def reason_of(issue: LabelIssue, models: Sequence[str]) -> str:
    """Why the label looks wrong, in words."""
    return (
        f"models that did not learn from this row find {issue.suggested!r} likelier "
        f"({issue.suggested_probability:.2f}) than {issue.given!r} ({issue.given_probability:.2f}); "
        f"{len(issue.agreeing)} of {len(models)} put it first: {', '.join(issue.agreeing) or 'none alone'}"
    )


def _reason(step: StepRun) -> str:
    task = TASKS.get(step.config.dataset.task)
    if not task.probabilities:
        return f"models for {task.title} give no probabilities of their answers"
    return (
        "no study has the predictions of its folds; one that was searched before they were kept has them after "
        "run_mode=force_new"
    )
