"""Renders a run or a profile as one self-contained HTML page, a run as Markdown and as figures for other tools, too."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from pathlib import Path

from podium.display.blocks import Block, Code, Columns, Facts, Points, Section, Table, Text
from podium.records import ProfileRecord
from podium.report.inputs import ReportInputs
from podium.report.page import Page, page_of
from podium.report.profile import profile_sections

HTML_FILE, MARKDOWN_FILE, METRICS_FILE = "report.html", "report.md", "metrics.json"
_MARKUP = re.compile(r"([\\`*_\[\]|#~])")


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


def profile_html(record: ProfileRecord) -> str:
    """The page of a profile."""
    work, sections = record.workload, profile_sections(record)
    if record.status == "skipped":
        return as_html(Page("Profile", "", sections))
    lead = (
        f"{work.get('iterations')} iterations of {work.get('batch_size')} rows on {work.get('device')} with "
        f"{work.get('threads')} threads · {record.created_at:%Y-%m-%d %H:%M UTC}"
    )
    return as_html(Page(f"{record.model}: where does the time go?", lead, sections))


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
    return environment.get_template("page.html.j2").render(page=page)


def as_markdown(page: Page) -> str:
    """The text and tables of the page; charts are on the HTML page only."""
    lines = [f"# {_escaped(page.title)}", _escaped(page.lead)]
    if answer := page.answer:
        said = _escaped(answer.text).replace("\\*\\*", "**")
        lines += [f"**{answer.verdict}** {_escaped(answer.briefly)}".rstrip()] if answer.verdict else []
        lines += [said]
        lines += [
            "\n".join(
                f"- {_escaped(name)}: {_escaped(value)} ({_escaped(note)})" for name, value, note in answer.figures
            )
        ]
    for _, _, section in page.sections:
        lines += _section(section, 2)
    return "\n\n".join(line for line in lines if line) + "\n"


def _escaped(text: str) -> str:
    """Text on one line, without anything that Markdown or the HTML inside it would read as markup."""
    return _MARKUP.sub(r"\\\1", html.escape(" ".join(text.split()), quote=False))


def _section(section: Section, level: int) -> list[str]:
    heading = f"{'#' * level} {_escaped(f'{section.title} {section.mark}')}" if section.title else ""
    return [heading, *(line for one in section.blocks for line in _block(one, level))]


def _block(block: Block, level: int) -> list[str]:
    found: list[str] = []
    match block:
        case Text(text=text, style=style):
            found = [f"> {_escaped(text)}" if style == "warning" else _escaped(text)]
        case Facts(items=items):
            found = ["\n".join(f"- {_escaped(name)}: {_escaped(value)}" for name, value in items)]
        case Points(items=items):
            found = ["\n".join(f"- {_escaped(f'{text} ({code})' if code else text)}" for text, code in items)]
        case Code(text=text):
            found = ["~~~\n{}\n~~~".format(text.replace("\n~~~", "\n ~~~"))]
        case Table():
            found = [_escaped(block.caption), _table(block)]
        case Columns(sections=sections):
            found = [line for one in sections for line in _section(one, level + 1)]
        case Section():
            found = _section(block, level + 1)
    return found


def _table(table: Table) -> str:
    rules = ["---:" if side == "r" else "---" for side in table.align]
    rows = [[_escaped(name) for name in table.columns], rules]
    for row in table.lines:
        cells = [
            _escaped(cell.text + "".join(f" ({part})" for part in (cell.note, cell.tag) if part))
            for cell in row.all_cells
        ]
        cells[table.heading] += f" {row.mark}" if row.mark else ""
        rows.append(cells)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in rows)


def _metrics(given: ReportInputs) -> dict[str, float]:
    """The headline, and each champion's score and latency; what is not known is left out."""
    winner, test, measured = given.winner, given.winner_test, given.winner_measurement
    found: dict[str, float | None] = {
        "promoted": float(given.decision.verdict == "PROMOTE"),
        "test_rows": given.data.rows.get("test"),
        "failed_entrants": len(given.failed),
        "trials": sum(len(study.trials) for study in given.studies),
    }
    if winner and test:
        found |= {"score": test.value, "score_low": test.low, "score_high": test.high, "size_mb": winner.size_mb}
    if given.selection.labels.status != "skipped":
        found["suspected_labels"] = given.selection.labels.suspected
    if corrected := given.decision.evidence.winner_score:
        found["score_corrected"] = corrected.value
    if measured:
        found |= {
            "latency_p50_ms": measured.quantile_ms(0.5),
            "latency_p90_ms": measured.quantile_ms(0.9),
            "throughput_per_second": measured.throughput_per_second.value,
            "memory_mb": measured.peak_rss_mb,
            "size_mb": measured.size_mb,
        }
    found |= {f"learning_curve.{name}": value for name, value in given.curve.figures.items()}
    found |= {f"baseline.{one.name}.score": one.test.value for one in given.selection.baselines}
    found |= {
        f"{made.entrant}.{made.variant}.score": made.check.score.value
        for made in given.benchmark.variants
        if made.check
    }
    for entry in given.selection.leaderboard:
        found[f"{entry.entrant}.score"] = entry.test.value
        for one in given.measurements_of(entry):
            found[f"{entry.entrant}.{one.variant}.latency_p50_ms"] = one.quantile_ms(0.5)
    return {name: value for name, value in found.items() if value is not None}
