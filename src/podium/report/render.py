"""Renders a run as one self-contained HTML page, as Markdown, and as figures for other tools."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from podium.report.inputs import ReportInputs
from podium.report.markdown import as_markdown
from podium.report.page import Page, page_of

HTML_FILE, MARKDOWN_FILE, METRICS_FILE = "report.html", "report.md", "metrics.json"


@dataclass(frozen=True)
class Rendered:
    """A report in its three forms; `metrics` are numbers by name."""

    html: str
    markdown: str
    metrics: dict[str, float]

    def save(self, directory: Path) -> None:
        """Write `report.html`, `report.md` and `metrics.json` into `directory`."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / HTML_FILE).write_text(self.html, encoding="utf-8")
        (directory / MARKDOWN_FILE).write_text(self.markdown, encoding="utf-8")
        (directory / METRICS_FILE).write_text(json.dumps(self.metrics, indent=1) + "\n", encoding="utf-8")


def render(inputs: ReportInputs) -> Rendered:
    """Render the report of a run."""
    page = page_of(inputs)
    return Rendered(as_html(page), as_markdown(page), _metrics(inputs))


def as_html(page: Page) -> str:
    """The page as HTML that needs nothing but itself: no script and no request, its style and charts inline.

    It follows the reader's light or dark scheme, and its content policy forbids what it does not need.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["emphasised"] = _emphasised
    return environment.get_template("page.html.j2").render(page=page)


def _emphasised(text: str) -> Any:
    """The text with what `**` surrounds emphasised."""
    from markupsafe import Markup, escape

    parts = text.split("**")
    marked = [
        Markup("<strong>{}</strong>").format(part) if number % 2 else escape(part) for number, part in enumerate(parts)
    ]
    return Markup().join(marked)


def _metrics(given: ReportInputs) -> dict[str, float]:
    """The headline, and each champion's score and latency; what is not known is left out."""
    winner, test, measured = given.winner, given.winner_test, given.winner_measurement
    found: dict[str, float | None] = {
        "promoted": float(given.decision.verdict == "PROMOTE"),
        "test_rows": given.data.rows.get("test"),
        "trials": sum(len(study.trials) for study in given.studies),
    }
    if winner and test:
        found |= {"score": test.value, "score_low": test.low, "score_high": test.high, "size_mb": winner.size_mb}
    if measured:
        found |= {
            "latency_p50_ms": measured.quantile_ms(0.5),
            "latency_p90_ms": measured.quantile_ms(0.9),
            "throughput_per_second": measured.throughput_per_second.value,
            "memory_mb": measured.peak_rss_mb,
            "size_mb": measured.size_mb,
        }
    found |= {f"baseline.{one.name}.score": one.test.value for one in given.selection.baselines}
    found |= {
        f"{made.backbone}.{made.variant}.score": made.check.score.value
        for made in given.benchmark.variants
        if made.check
    }
    for entry in given.selection.leaderboard:
        found[f"{entry.backbone}.score"] = entry.test.value
        for one in given.measurements_of(entry):
            found[f"{entry.backbone}.{one.variant}.latency_p50_ms"] = one.quantile_ms(0.5)
    return {name: value for name, value in found.items() if value is not None}
