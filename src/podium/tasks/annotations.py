"""What annotation tools export of a row: the answers of annotators, of which one becomes its label, spans or tags.

Of several annotators the answer that most of them gave counts, and the first one of those given equally often. Where
Label Studio marks an annotation as ground truth, it alone counts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from podium.tasks.columns import Column, missing

REJECTED = "rows that an annotator rejected (answer), which were left out"
SKIPPED = "rows that annotators skipped or discarded, which were left out"
UNLABELLED = "rows that nobody has labelled yet, which were left out"
DISPUTED = "rows whose annotators disagree, of which the most frequent answer, or else the first, was taken"

_TASKS = ("annotations", "completions")
"""Fields of a task of Label Studio that hold what annotators did; the second one is the old name."""
_ANSWERS = re.compile(r"(annotations|completions|responses)\..+|.+\.responses")
_PRODIGY = frozenset({"_input_hash", "_task_hash", "accept", "options", "spans"})
_STUDIO = frozenset({"annotation_id", "annotator"})
"""Columns of flat exports of Label Studio."""
_SUBMITTED = (None, "submitted")


def columns_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Columns with a list of answers for each question, from the fields in which tools export them.

    Read are choices in tasks of Label Studio, as `annotations.NAME`, and the flat records of Argilla, which have the
    state of every answer in a column beside.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for field in _TASKS:
        counting = annotations_of(values.get(field)) or []
        names = [one.get("from_name") for annotation in counting for one in _choices(annotation)]
        for name in dict.fromkeys(names):
            found[f"{field}.{name}"] = [
                {
                    "value": [
                        item
                        for one in _choices(each)
                        if one.get("from_name") == name
                        for item in one["value"]["choices"]
                    ],
                    "status": None,
                }
                for each in counting
            ]
    for name in values:
        states = values.get(f"{name}.status")
        if name.endswith(".responses") and isinstance(states, list) and isinstance(values[name], list):
            found[name] = [{"value": one, "status": state} for one, state in zip(values[name], states, strict=False)]
    return found


def answered(columns: Sequence[Column]) -> list[Column]:
    """Those columns whose names say that they hold the answers of annotators."""
    return [column for column in columns if _ANSWERS.fullmatch(column.name)]


def annotations_of(value: Any) -> list[Mapping[str, Any]] | None:
    """The annotations that count of a task of Label Studio, without cancelled ones; None where these are none."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(one, Mapping) and isinstance(one.get("result"), list) for one in value):
        return None
    given = [one for one in value if not (one.get("was_cancelled") or one.get("skipped"))]
    return [one for one in given if one.get("ground_truth")] or given


def answers_of(value: Any) -> list[Any] | None:
    """The submitted answers in a cell with the answers of annotators; None where it is no such cell."""
    if not isinstance(value, list) or not value:
        return None
    if not all(isinstance(one, Mapping) and "value" in one and one.keys() & {"status", "user_id"} for one in value):
        return None
    return [_sorted(one["value"]) for one in value if one.get("status") in _SUBMITTED]


def beside(target: str) -> set[str]:
    """The columns beside that of the target which say whether a row has been labelled."""
    return {f"{target}.status", f"{target}-suggestion", "was_cancelled", "answer", *_STUDIO, *_PRODIGY}


def most_frequent(answers: Sequence[Any]) -> Any:
    """The most frequent answer, the first one of several; None where there is none."""
    return max(answers, key=answers.count) if answers else None


def answer(value: Any) -> Any:
    """What a cell with choices, or with the answers of several annotators, says; any other value as it is."""
    if isinstance(value, Mapping) and value.keys() == {"choices"} and isinstance(value["choices"], list):
        return value["choices"]
    return value if (answers := answers_of(value)) is None else most_frequent(answers)


def set_aside(values: Mapping[str, Any], target: str) -> str:
    """Why a row has no label to learn from, as the note under which it is counted; empty where it may have one."""
    said = values.get("answer")
    if said in ("ignore", "reject") and _PRODIGY & values.keys() and not (said == "reject" and target == "answer"):
        return SKIPPED if said == "ignore" else REJECTED
    if str(values.get("was_cancelled")).lower() == "true" and values.keys() >= _STUDIO:
        return SKIPPED
    for field in _TASKS:
        if field in values and isinstance(values.get("data"), Mapping):
            if not values[field]:
                return UNLABELLED
            if annotations_of(values[field]) == []:
                return SKIPPED
    cell = values.get(target)
    if answers_of(cell) == []:
        return SKIPPED
    of_argilla = _ANSWERS.fullmatch(target) or f"{target}-suggestion" in values
    return UNLABELLED if of_argilla and not is_submitted(values) and (missing(cell) or cell == []) else ""


def is_submitted(values: Mapping[str, Any]) -> bool:
    """Whether an annotator of Label Studio has submitted a row, so that no choice and no span means none."""
    return values.keys() >= _STUDIO or any(annotations_of(values.get(field)) for field in _TASKS)


def _choices(annotation: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [
        one
        for one in annotation["result"]
        if isinstance(one, Mapping) and isinstance((one.get("value") or {}).get("choices"), list)
    ]


def _sorted(value: Any) -> Any:
    texts = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return sorted(value) if texts else value
