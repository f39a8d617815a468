"""What a run of `podium infer` did, as a page."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from podium.display.blocks import Block, Facts, Section, Table, Text
from podium.display.numbers import figure, metric_name
from podium.inference.stored import OWN_PREFIX
from podium.report.page import Page

_LONGEST = 300


def inference_page(
    title: str, facts: Sequence[tuple[str, str]], metrics: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]
) -> Page:
    """The page of a run.

    Args:
        metrics: as `metrics.json` holds them.
    """
    outcomes: Mapping[str, int] = metrics["outcomes"]
    shares = [[name, f"{count:,}", f"{count / metrics['rows']:.1%}"] for name, count in outcomes.items()]
    results: list[Block] = [Table("Outcomes", ("outcome", "rows", "share"), "lrr", shares, style="tight")]
    if scores := metrics.get("scores"):
        lines = [
            [metric_name(name), figure(one["value"]), f"{figure(one['low'])} to {figure(one['high'])}"]
            for name, one in scores.items()
        ]
        caption = f"Against the labels of {metrics['scored_rows']:,} rows; rows without a valid answer count as wrong."
        results.append(Table("Scores", ("metric", "value", "95 % interval"), "lrr", lines, caption, style="tight"))
    if learned := metrics.get("learned_rows"):
        said = f"The model learned from {learned:,} of these rows, so these are not the scores of new rows."
        results.append(Text(said, "warning"))
    if reason := metrics.get("not_scored"):
        results.append(Text(f"Not scored: {reason}", "warning"))
    if cut := metrics.get("rows_at_longest_input"):
        longest = metrics["longest_input_tokens"]
        results.append(
            Text(f"{cut:,} rows have {longest} tokens or more, of which the model reads no more.", "warning")
        )
    if alone := metrics.get("asked_alone"):
        said = f"{alone['equal']} of {alone['rows']} rows have the same answer when they are asked again, each alone."
        results.append(Text(said, "small"))
    names = ("prompt_tokens", "output_tokens", "attempts", "seconds", "price")
    cost = [(name.replace("_", " "), _value(metrics[name])) for name in names if metrics.get(name)]
    columns = [name for name in rows[0] if name != f"{OWN_PREFIX}probabilities"] if rows else []
    shown = [[_cut(row[name]) for name in columns] for row in rows]
    table = Table("First rows", [name.removeprefix(OWN_PREFIX) for name in columns], "l" * len(columns), shown)
    return Page(
        f"{title}: predictions",
        f"{metrics['rows']:,} rows",
        (
            ("results", "Results", Section("Results", results)),
            ("cost", "Cost", Section("Cost", [Facts(cost)])),
            ("rows", "Rows", Section("First rows", [table])),
            ("run", "Run", Section("What ran", [Facts(list(facts))])),
        ),
    )


def _value(value: Any) -> str:
    return value if isinstance(value, str) else f"{value:,}"


def _cut(value: Any) -> str:
    text = "" if value is None else value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + " …"
