"""Renders a run as one self-contained HTML page, as Markdown, and as figures."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from podium.display import numbers as text
from podium.report.choice import as_good
from podium.report.inputs import ReportInputs
from podium.report.standing import against_baseline, finding
from podium.report.views import View, view_of

if TYPE_CHECKING:
    from jinja2 import Environment

HTML_FILE, MARKDOWN_FILE, METRICS_FILE = "report.html", "report.md", "metrics.json"
_MARKDOWN = re.compile(r"([\\`*_\[\]|#~])")


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


class _Verbatim(str):
    """Text that Markdown shows as it is, inside a fenced block."""


def render(inputs: ReportInputs) -> Rendered:
    """Render the report of a run.

    The page needs nothing but itself: no script, no request, its style and charts inline; it follows the reader's
    light or dark scheme and forbids by its own content policy what it does not need.
    """
    view = view_of(inputs)
    page = template_environment(autoescape=True).get_template("report.html.j2").render(view=view)
    plain = template_environment(autoescape=False, finalize=_markdown).get_template("report.md.j2").render(view=view)
    return Rendered(page, plain, _metrics(view))


def template_environment(**options: Any) -> Environment:
    """Templates of this folder, with the filters by which figures are written."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        **options,
    )
    names = ("metric_name", "score", "signed", "bounds", "signed_bounds", "figure", "count", "parameter", "p_value")
    more = ("p_equals", "duration", "field_name", "short", "percent", "share")
    environment.filters |= {name: getattr(text, name) for name in (*names, *more)}
    environment.filters |= {"finding": finding, "against_baseline": against_baseline, "as_good": as_good}
    environment.filters["verbatim"] = lambda value: _Verbatim(value.replace("\n~~~", "\n ~~~"))
    return environment


def _markdown(value: Any) -> str:
    """Escape what Markdown or the HTML inside it would read as markup."""
    if isinstance(value, _Verbatim):
        return value
    return _MARKDOWN.sub(r"\\\1", html.escape(" ".join(str(value).split()), quote=False))


def _metrics(view: View) -> dict[str, float]:
    """Figures that other tools read: the headline, and each champion's score and latency; unknown ones are left out."""
    given, winner, measurement = view.given, view.winner, view.measurement
    found: dict[str, float | None] = {
        "promoted": float(given.decision.verdict == "PROMOTE"),
        "test_rows": given.data.rows.get("test"),
        "trials": sum(len(study.trials) for study in given.studies),
    }
    if winner and (test := view.choice.test):
        found |= {"score": test.value, "score_low": test.low, "score_high": test.high, "size_mb": winner.size_mb}
    if measurement:
        found |= {
            "latency_p50_ms": measurement.quantile_ms(0.5),
            "latency_p90_ms": measurement.quantile_ms(0.9),
            "throughput_per_second": measurement.throughput_per_second.value,
            "memory_mb": measurement.peak_rss_mb,
            "size_mb": measurement.size_mb,
        }
    found |= {f"baseline.{one.name}.score": one.test.value for one in given.selection.baselines}
    for made in (one.made for one in view.measured.variants):
        if made.check:
            found[f"{made.backbone}.{made.variant}.score"] = made.check.score.value
    for champion in view.champions:
        found[f"{champion.entry.backbone}.score"] = champion.entry.test.value
        for one in champion.measurements:
            found[f"{champion.entry.backbone}.{one.variant}.latency_p50_ms"] = one.quantile_ms(0.5)
    return {name: value for name, value in found.items() if value is not None}
