"""A run as a page: the answer, why it is that, and the sections with the evidence behind it."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

import yaml

from podium.display import numbers
from podium.display.blocks import Block, Cell, Code, Columns, Facts, Points, Section, Table, Text
from podium.keys import digest_manifest
from podium.records import Evidence, Incumbent, Reason, Record
from podium.report.inputs import ReportInputs
from podium.report.labels import labels_section
from podium.report.leaderboard import LONG_TABLE, SHOWN_WORST, comparison_table, errors_section, leaderboard_section
from podium.report.learning_curve import learning_curve_section
from podium.report.measurements import COSTS, benchmark_section, variants_section
from podium.report.profile import profile_section
from podium.report.search import search_section
from podium.selection import decision as verdicts
from podium.selection.comparison import as_good, baseline_named, shown_worse
from podium.selection.winner import UNITS, quantity
from podium.tasks import TASKS
from podium.text import redact

SHOWN_SOURCES = 10
_LONGEST_EXAMPLE = 300

BRIEFLY = {
    verdicts.NO_INCUMBENT: "It is the first model to be promoted here.",
    verdicts.ALREADY_CHAMPION: "It is the incumbent itself, so nothing changes.",
    verdicts.FORCED: "Its promotion was forced.",
    verdicts.BETTER: "It is measurably better than the incumbent.",
    verdicts.WORSE: "It is measurably worse than the incumbent, which stays.",
    verdicts.NOT_BETTER: "It is not shown to be better than the incumbent, which stays.",
    verdicts.GAIN_TOO_SMALL: "It is better than the incumbent, but by less than is asked for, so the incumbent stays.",
    verdicts.TOO_FEW_ROWS: "There are too few held-out rows to promote anything on.",
    verdicts.TOO_FEW_TRIALS: "Its search was too short to promote anything on.",
    verdicts.WORSE_THAN_BASELINE: "It is worse than a baseline.",
    verdicts.NOTHING_BUT_COPIES: "Without held-out rows that nearly repeat what it learned, nothing is shown.",
    verdicts.BASELINE_NOT_BEATEN: "It is not shown to beat every baseline.",
    verdicts.ROLLED_BACK: "It was rolled back before, so it is not promoted again.",
    verdicts.CHEAPER: "It is shown to be as good as the incumbent, and costs less.",
    verdicts.INCUMBENT_BREAKS: "It is not shown to be worse than the incumbent, which breaks a constraint.",
    verdicts.NOT_COMPARABLE: "It cannot be compared with the incumbent, which stays.",
}
"""The verdict in one sentence, by the code of the reason that it is based on."""


@dataclass(frozen=True)
class Answer:
    """What a reader wants to know first.

    Attributes:
        verdict: of a decision; empty where nothing was decided.
        briefly: the verdict in a sentence; may be empty.
        careful: whether something beside the score speaks against taking it at its word.
        text: what was found; `**` surrounds what is emphasised.
        figures: name, value and a remark on it.
    """

    verdict: str
    briefly: str
    text: str
    figures: Sequence[tuple[str, str, str]] = ()
    careful: bool = False


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
            ("why", "Why", _why(given)),
            ("leaderboard", "Leaderboard", leaderboard_section(given)),
            ("variants", "Variants", variants_section(given)),
            ("benchmark", "Benchmark", benchmark_section(given)),
            ("profile", "Time", profile_section(given.profile)),
            ("errors", "Errors", errors_section(given)),
            ("search", "Search", search_section(given)),
            ("learning-curve", "More data", learning_curve_section(given)),
            *([("plan", "Plan", _plan(given))] if given.plan else []),
            ("data", "Data", _data(given)),
            ("labels", "Labels", labels_section(given)),
            ("lineage", "Lineage", _lineage(given)),
            ("reproduce", "Reproduce", _reproduce(given)),
        ),
        _answer(given),
    )


def _answer(given: ReportInputs) -> Answer:
    verdict, found = given.decision.verdict, _reasons(given)
    briefly = next((BRIEFLY[reason.code] for reason in found if reason.code in BRIEFLY), "")
    winner, test, measured = given.winner, given.winner_test, given.winner_measurement
    if winner is None or test is None:
        why = f"{found[0].text if found else ''} {given.competed}".strip()
        return Answer(verdict, briefly, f"**No model is fit to ship.** {why}")
    metric = numbers.metric_name(given.selection.metric)
    form = f" as **{measured.variant}**" if measured and measured.variant != "eager" else ""
    median = measured.quantile_ms(0.5) if measured else None
    speed = "" if median is None else f" and answers one request in {numbers.figure(median)} ms at the median"
    text = (
        f"**{winner.entrant}**{form} reaches {metric} **{numbers.score(test.value)}** "
        f"({test.confidence:.0%} interval {numbers.bounds(test)}) on "
        f"{given.data.rows.get('test', 0):,} held-out rows{speed}."
    )
    corrected = given.corrected_score
    expected = corrected or test
    if corrected:
        text += (
            f" It was chosen among {len(given.decision.evidence.comparisons) + 1} candidates on these rows; corrected "
            f"for that, **{numbers.score(corrected.value)}** ({numbers.bounds(corrected)}) is to be expected."
        )
    if (copies := given.decision.evidence.copied_rows) and copies.score:
        text += (
            f" **{copies.rows:,} of these rows nearly repeat rows that it learned from**; on the others it reaches "
            f"**{numbers.score(copies.score.value)}** ({numbers.bounds(copies.score)}): expect that of new rows."
        )
    if check := given.winner_check:
        text += f" That is {numbers.difference(check.difference)} against the eager model it was made from."
    for one in given.unbeaten:
        lost = "is worse than" if shown_worse(one) else "does not beat"
        text += f" It {lost} {baseline_named(one.reference)}: {numbers.difference(one.difference)}."
    if given.competed:
        text += f" **{given.competed}.**"
    text += "".join(f" **{one.text}**" for one in given.doubts)
    text += "".join(f" **Caution: {caution}.**" for caution in given.cautions)
    parameters = f"{numbers.count(winner.parameters)} parameters"
    figures = [
        ("Winner", winner.entrant, f"{parameters}, {measured.variant}" if measured else parameters),
        (metric, numbers.score(expected.value), f"{numbers.bounds(expected)}{', corrected' if corrected else ''}"),
    ]
    if best := given.better:
        figures.insert(1, ("Best by score", best.entrant, f"{numbers.score(best.test.value)}; see Why"))
    if measured:
        tail = measured.quantile_ms(0.9)
        remark = "too few samples for p90" if tail is None else f"p90 {numbers.figure(tail)} ms"
        rate = numbers.figure(measured.throughput_per_second.value)
        figures += [
            ("Latency, median", f"{numbers.figure(median)} ms", remark),
            ("Throughput", f"{rate} /s", f"batches of {measured.batch_size}"),
            ("Memory", f"{numbers.figure(measured.peak_rss_mb)} MB", "peak of the process"),
        ]
    size = measured.size_mb if measured else winner.size_mb
    figures.append(("Size", f"{numbers.figure(size)} MB", "on disk"))
    if careful := given.careful:
        briefly = f"{briefly} Read the caution first."
    return Answer(verdict, briefly, text, figures, careful)


def _reasons(given: ReportInputs) -> list[Reason]:
    """Each reason of the decision once; those that a verdict can be based on come first."""
    return sorted(dict.fromkeys(given.decision.reasons), key=lambda reason: reason.code not in BRIEFLY)


def _why(given: ReportInputs) -> Section:
    """The reasons, the incumbent, the candidates that were compared, and how to make the decision again."""
    decision, evidence = given.decision, given.decision.evidence
    blocks: list[Block] = [Points([(reason.text, reason.code) for reason in _reasons(given)])]
    if decision.incumbent:
        blocks += _incumbent(decision.incumbent, given)
    if evidence.comparisons:
        blocks.append(_candidates(evidence))
    if decision.registered:
        said = ", ".join(f"{name} {value}" for name, value in decision.registered.items())
        blocks.append(Text(f"In the model registry: {said}.", "small"))
    store = f" --store {shlex.quote(given.run.config.store)}" if given.run.config.store else ""
    command = Code(redact(f"podium replay {decision.key[:12]}{store}"))
    says = "It judges the evidence kept with the decision again, and fails if the verdict comes out differently."
    title = "What was asked for, and how to make the decision again"
    blocks.append(Section(title, [Facts(_policy(evidence)), command, Text(says, "small")], "closed"))
    return Section("Why", blocks)


def _incumbent(incumbent: Incumbent, given: ReportInputs) -> list[Block]:
    evidence = given.decision.evidence
    variant = f" ({incumbent.variant})" if incumbent.variant != "eager" else ""
    said = (
        f"Incumbent: {incumbent.name} version {incumbent.version}{variant}, {numbers.metric_name(incumbent.metric)} "
        f"{numbers.score(incumbent.score)} on its own run's held-out rows."
    )
    if seen := evidence.against_incumbent:
        said += (
            f" It predicted the {evidence.rows:,} held-out rows of this run: {seen.challenger} minus "
            f"incumbent is {numbers.signed(seen.difference.value)} in {numbers.metric_name(seen.metric)} "
            f"({seen.difference.confidence:.0%} interval {numbers.signed_bounds(seen.difference)}, "
            f"p {numbers.p_equals(seen.p_value)}); the verdict follows from the interval."
        )
    elif evidence.not_comparable:
        said += f" It was not compared: {evidence.not_comparable}"
    elif any(reason.code == verdicts.ALREADY_CHAMPION for reason in given.decision.reasons):
        said += " It is the winner itself, so there was nothing to compare."
    own, theirs = given.winner_measurement, evidence.incumbent_measurement
    if own and theirs:
        values = [(name, quantity(own, name), quantity(theirs, name)) for name in UNITS]
        rows = [
            (f"{COSTS[name]}, {UNITS[name]}", numbers.figure(ours), numbers.figure(other))
            for name, ours, other in values
            if ours is not None or other is not None
        ]
        label = "Winner and incumbent on this hardware"
        return [Text(said), Table(label, ("On this hardware", "Winner", "Incumbent"), "lrr", rows)]
    if evidence.incumbent_unmeasured:
        return [Text(said), Text(f"What it costs on this hardware is not known: {evidence.incumbent_unmeasured}")]
    return [Text(said)]


def _candidates(evidence: Evidence) -> Section:
    margin = evidence.policy.margin
    lead = (
        "Each deployable variant within the constraints against the best of them, by its own predictions on the same "
        f"held-out rows. It is as good where the lower bound of the difference is at least {-margin:g}; the cheapest "
        "such variant whose measured cost is below that of the best, intervals apart, is shipped in its place. A "
        "variant that is worse by the margin passes with a probability of at most "
        f"{(1 - evidence.policy.confidence) / 2:.2g}."
    )
    label = "Candidates against the best within the constraints"
    findings = [
        "as good" if as_good(one, margin) else "worse" if shown_worse(one) else "cannot be told"
        for one in evidence.comparisons
    ]
    table = comparison_table(evidence.comparisons, label, ("Candidate", "Against"), findings)
    return Section("Is a cheaper one as good?", [Text(lead, "muted"), table])


def _policy(evidence: Evidence) -> list[tuple[str, str]]:
    """What the decision asked for, in words."""
    policy, asked = evidence.policy, evidence.policy.promotion
    bounds = [f"{COSTS[name]} <= {bound:g} {UNITS[name]}" for name, bound in policy.constraints if bound is not None]
    saving = "does not count" if asked.min_saving is None else f"{asked.min_saving:.0%} promotes what is as good"
    found = [
        ("Cost", f"{COSTS[policy.cost]}: of candidates that are as good, the cheapest wins"),
        ("Margin", f"as good is what is shown to lose at most {policy.margin:g} in {evidence.metric}"),
        ("Constraints", ", ".join(bounds) or "none"),
        ("Gain over the incumbent", f"interval wholly above {asked.min_gain:g}"),
        ("Saving over the incumbent", saving),
        ("Least evidence", f"{asked.min_test_rows:,} held-out rows, {asked.min_trials:,} trials"),
        ("Baselines", "must all be beaten" if asked.must_beat_baselines else "need not be beaten"),
    ]
    return [*found, ("Forced", asked.reason or "")] if asked.force else found


def _plan(given: ReportInputs) -> Section:
    lead = "What the data, this machine and the time limit decided before anything was trained."
    return Section("Plan", [Text(lead, "muted"), Facts([*given.plan.items()])])


def _data(given: ReportInputs) -> Section:
    data = given.data
    facts = [
        ("Name", data.name),
        ("Task", data.task),
        ("Licence", given.run.config.dataset.licence or "not declared"),
        ("Rows read", f"{data.read_rows:,}"),
        ("Duplicates dropped", f"{data.duplicates:,}"),
        ("Rows rejected", f"{data.rejected:,}"),
        ("Left out by dataset.max_rows", f"{data.left_out:,}"),
        ("Rows used", ", ".join(f"{split} {rows:,}" for split, rows in data.rows.items())),
        ("Folds", str(data.folds)),
        ("Labels", str(len(data.labels))),
        ("Digest of sources", digest_manifest(data.sources)),
    ]
    warnings = [Text(warning, "warning") for warning in (*data.cautions, *data.warnings)]
    blocks: list[Block] = [Columns([Section("", [Facts(facts), *warnings]), Section("", _label_tables(given))])]
    if data.rejected_examples:
        examples = [(example[:_LONGEST_EXAMPLE], "") for example in data.rejected_examples]
        blocks.append(Section("Rejected rows", [Points(examples)]))
    sources = [(redact(name), digest) for name, digest in sorted(data.sources.items())]
    rows = [(name, Cell(digest, style="code")) for name, digest in sources[:SHOWN_SOURCES]]
    listed: list[Block] = [Table("Source files", ("Source", "sha256"), "ll", rows)]
    if (left := len(sources) - SHOWN_SOURCES) > 0:
        listed.append(Text(f"and {left:,} more; all are in the data record.", "small"))
    files = f"{len(sources):,} source files and their digests" if len(sources) > 1 else "The source file and its digest"
    return Section("Data", [*blocks, Section(files, listed, "closed")])


def _label_tables(given: ReportInputs) -> list[Block]:
    """Rows per label and split; of many labels the rarest, and all in a part that the reader opens."""
    whole = _label_table(given)
    if len(whole.rows) <= LONG_TABLE:
        return [whole]
    counts = given.data.label_counts.values()
    total = {label: sum(of_split.get(label, 0) for of_split in counts) for label in given.data.labels}
    rare = sorted(total, key=lambda label: (total[label], label))[:SHOWN_WORST]
    rows = [row for row in whole.lines if row.all_cells[0].text in rare]
    caption = f"Counts per label and split: the rarest of {len(total):,}."
    first = Table("Rows of the rarest labels", whole.columns, whole.align, rows, caption, style="tight")
    return [first, Section(f"All {len(total):,} labels", [whole], "closed")]


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
