"""A run as a page: the answer, and the sections with the evidence behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from podium.display import numbers
from podium.display.blocks import Block, Cell, Code, Columns, Facts, Points, Section, Table, Text
from podium.keys import digest_manifest
from podium.records import Record
from podium.report.decision import BRIEFLY, reasons, why_section
from podium.report.inputs import ReportInputs
from podium.report.leaderboard import errors_section, leaderboard_section
from podium.report.measurements import benchmark_section, variants_section
from podium.report.search import search_section
from podium.selection.comparison import shown_worse
from podium.tasks import TASKS
from podium.tracking import redact

SHOWN_SOURCES = 10
_LONGEST_EXAMPLE = 300


@dataclass(frozen=True)
class Answer:
    """What a reader wants to know first.

    Attributes:
        briefly: the verdict in a sentence; may be empty.
        text: what was found; `**` surrounds what is emphasised.
        figures: name, value and a remark on it.
    """

    verdict: str
    briefly: str
    text: str
    figures: Sequence[tuple[str, str, str]] = ()


@dataclass(frozen=True)
class Page:
    """What the templates render; sections have an anchor and a short name for the table of contents."""

    title: str
    lead: str
    sections: Sequence[tuple[str, str, Section]]
    answer: Answer | None = None


def page_of(given: ReportInputs) -> Page:
    """Arrange the records of a run."""
    data, run = given.data, given.run
    task = TASKS.get(data.task).title
    seconds = sum(record.seconds for record in given.steps.values())
    return Page(
        f"{data.name}: which model do I ship?",
        f"{task} · run {run.run_id} · {run.created_at:%Y-%m-%d %H:%M UTC} · {numbers.duration(seconds)} of computing",
        (
            ("why", "Why", why_section(given)),
            ("leaderboard", "Leaderboard", leaderboard_section(given)),
            ("variants", "Variants", variants_section(given)),
            ("benchmark", "Benchmark", benchmark_section(given)),
            ("errors", "Errors", errors_section(given)),
            ("search", "Search", search_section(given)),
            ("data", "Data", _data(given)),
            ("lineage", "Lineage", _lineage(given)),
            ("reproduce", "Reproduce", _reproduce(given)),
        ),
        _answer(given),
    )


def _answer(given: ReportInputs) -> Answer:
    verdict, found = given.decision.verdict, reasons(given)
    briefly = next((BRIEFLY[reason.code] for reason in found if reason.code in BRIEFLY), "")
    winner, test, measured = given.winner, given.winner_test, given.winner_measurement
    if winner is None or test is None:
        return Answer(verdict, briefly, f"**No model is fit to ship.** {found[0].text if found else ''}")
    metric = numbers.metric_name(given.selection.metric)
    form = f" as **{measured.variant}**" if measured and measured.variant != "eager" else ""
    median = measured.quantile_ms(0.5) if measured else None
    speed = "" if median is None else f" and answers one request in {numbers.figure(median)} ms at the median"
    text = (
        f"**{winner.backbone}**{form} reaches {metric} **{numbers.score(test.value)}** "
        f"({test.confidence:.0%} interval {numbers.bounds(test)}) on "
        f"{given.data.rows.get('test', 0):,} held-out rows{speed}."
    )
    if check := given.winner_check:
        change = f"{numbers.signed(check.difference.value)} ({numbers.signed_bounds(check.difference)})"
        text += f" That is {change} against the eager model it was made from."
    for one in given.unbeaten:
        lost = "is worse than" if shown_worse(one) else "does not beat"
        change = f"{numbers.signed(one.difference.value)} ({numbers.signed_bounds(one.difference)})"
        text += f" It {lost} the {one.reference} baseline: {change}."
    parameters = f"{numbers.figure(winner.parameters / 1e6)} M parameters"
    figures = [
        ("Winner", winner.backbone, f"{parameters}, {measured.variant}" if measured else parameters),
        (metric, numbers.score(test.value), numbers.bounds(test)),
    ]
    if measured:
        tail = measured.quantile_ms(0.9)
        rate = measured.throughput_per_second.value
        figures += [
            (
                *("Latency, median", f"{numbers.figure(median)} ms"),
                "too few samples for p90" if tail is None else f"p90 {numbers.figure(tail)} ms",
            ),
            ("Throughput", f"{numbers.figure(rate)} /s", f"batches of {measured.batch_size}"),
            ("Memory", f"{numbers.figure(measured.peak_rss_mb)} MB", "peak of the process"),
        ]
    size = measured.size_mb if measured else winner.size_mb
    return Answer(verdict, briefly, text, [*figures, ("Size", f"{numbers.figure(size)} MB", "on disk")])


def _data(given: ReportInputs) -> Section:
    data = given.data
    facts = [
        ("Name", data.name),
        ("Task", data.task),
        ("Licence", given.run.config.dataset.licence or "not declared"),
        ("Rows read", f"{data.read_rows:,}"),
        ("Duplicates dropped", f"{data.duplicates:,}"),
        ("Rows rejected", f"{data.rejected:,}"),
        ("Rows used", ", ".join(f"{split} {rows:,}" for split, rows in data.rows.items())),
        ("Folds", str(data.folds)),
        ("Labels", str(len(data.labels))),
        ("Digest of sources", digest_manifest(data.sources)),
    ]
    warnings = [Text(warning, "warning") for warning in data.warnings]
    blocks: list[Block] = [Columns([Section("", [Facts(facts), *warnings]), Section("", [_label_table(given)])])]
    if data.rejected_examples:
        examples = [(example[:_LONGEST_EXAMPLE], "") for example in data.rejected_examples]
        blocks.append(Section("Rejected rows", [Points(examples)]))
    sources = [(redact(name), digest) for name, digest in sorted(data.sources.items())]
    rows = [(name, Cell(digest, style="code")) for name, digest in sources[:SHOWN_SOURCES]]
    listed: list[Block] = [Table("Source files", ("Source", "sha256"), "ll", rows)]
    if (left := len(sources) - SHOWN_SOURCES) > 0:
        listed.append(Text(f"and {left:,} more; all are in the data record.", "small"))
    files = f"{len(sources):,} source file{'s' if len(sources) != 1 else ''} and their digests"
    return Section("Data", [*blocks, Section(files, listed, "closed")])


def _label_table(given: ReportInputs) -> Table:
    data, splits = given.data, tuple(given.data.rows)
    counted = {label for counts in data.label_counts.values() for label in counts}
    order = [label for label in data.labels if label in counted] + sorted(counted - set(data.labels))
    rows = [(label, *(f"{data.label_counts.get(split, {}).get(label, 0):,}" for split in splits)) for label in order]
    align, caption = "l" + "r" * len(splits), "Counts per label and split."
    return Table("Rows per label", ("Label", *splits), align, rows, caption, style="tight")


def _lineage(given: ReportInputs) -> Section:
    names = {record.key: name for name, record in given.steps.items() if record.key}

    def row(name: str, record: Record) -> tuple[Cell | str, ...]:
        artifacts = {role: artifact.digest for role, artifact in record.artifacts.items()}
        return (
            *(name, Cell(record.key[:12], style="code", title=record.key), numbers.duration(record.seconds)),
            _digests({names.get(key, role): key for role, key in record.parents.items()}),
            *(_digests(artifacts), Cell(record.mlflow_run_id or "–", style="code")),
        )

    lead = "Every result and what it was made from. The command podium explain KEY shows the inputs behind a key."
    columns = ("Step", "Key", "Time", "Made from", "Artifacts", "MLflow run")
    table = Table("Lineage", columns, "llrlll", [row(name, record) for name, record in given.steps.items()])
    return Section("Lineage", [Text(lead, "muted"), table])


def _digests(found: dict[str, str]) -> Cell:
    """Names with the first digits of their digests; the whole ones are shown on pointing at the cell."""
    listed = ", ".join(f"{name} {digest[:12]}" for name, digest in found.items())
    return Cell(listed or numbers.MISSING, title="\n".join(f"{name} {digest}" for name, digest in found.items()))


def _reproduce(given: ReportInputs) -> Section:
    config = yaml.safe_dump(given.run.config.model_dump(mode="json"), sort_keys=False)
    command = [Code(redact(given.command))] if given.command else []
    return Section(
        "Reproduce",
        [
            *command,
            Section("Resolved configuration", [Code(redact(config))], "closed"),
            Section("Environment", [Facts([*given.environment.items()], narrow=True)]),
        ],
    )
