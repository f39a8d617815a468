"""The section `Labels`: which labels of the development rows look wrong to the champions."""

from __future__ import annotations

from collections.abc import Sequence

from podium.display import numbers
from podium.display.blocks import Block, Cell, Columns, Section, Table, Text
from podium.records import LabelCheck, LabelReview
from podium.report.inputs import ReportInputs

TITLE = "Labels that look wrong"
_SHOWN_PAIRS, _SHOWN_ROWS = 10, 20
_LONGEST_TEXT = 300


def labels_section(given: ReportInputs) -> Section:
    """How many labels look wrong, which are taken for which, and the clearest rows, by their ids."""
    review = given.selection.labels
    if review.status == "skipped":
        return Section(TITLE, [Text(f"The labels were not searched: {review.reason}.")])
    lead = (
        "Every development row was predicted by models that did not learn from it: those of the folds of the best "
        f"trial of {', '.join(review.entrants)}, calibrated and averaged. A label is suspected where they contradict "
        "it with confidence (confident learning, Northcutt et al., 2021). That is a suspicion and no proof: look at a "
        "row before its label is changed."
    )
    found = f"{review.suspected:,} of {review.rows:,} development rows have a label that looks wrong."
    blocks: list[Block] = [Text(lead, "muted"), Text(found)]
    if review.status == "degraded":
        blocks.append(Text(f"They are many: {review.reason}.", "warning"))
    if review.check:
        blocks.append(Text(_check(review.check), "small"))
    if not review.suspected:
        return Section(TITLE, blocks)
    pairs = [(one.given, one.suggested, f"{one.rows:,}") for one in review.pairs[:_SHOWN_PAIRS]]
    headings, caption = ("Given", "Looks like", "Rows"), "What is most often suspected."
    table = Table("Suspected labels by pair", headings, "llr", pairs, caption, style="tight")
    where = (
        "All of them, with reasons, are in label_issues.csv: beside the report of a run on this machine, and in the "
    )
    digest = given.selection.artifacts["label_issues"].digest[:12]
    last = Text(f"{where}artifact label_issues {digest} of step select.", "small")
    blocks.append(Columns([Section("", [table]), Section("", [_clearest(review)])]))
    if given.texts:
        texts = [(row, Cell(text[:_LONGEST_TEXT], style="wide")) for row, text in given.texts.items()]
        blocks.append(Section("Texts of the clearest rows", [Table("Texts of rows", ("Row", "Text"), "ll", texts)]))
    return Section(TITLE, [*blocks, last])


def _clearest(review: LabelReview) -> Table:
    rows: list[Sequence[Cell | str]] = [
        (
            one.row,
            Cell(one.given, numbers.score(one.given_probability)),
            Cell(one.suggested, numbers.score(one.suggested_probability)),
            f"{len(one.agreeing)} of {len(review.entrants)}",
        )
        for one in review.clearest[:_SHOWN_ROWS]
    ]
    columns = ("Row", "Given", "Looks like", "Agree")
    caption = (
        "The clearest rows, with the probabilities of both labels, and how many champions put the second one first."
    )
    return Table("Rows whose label looks wrong", columns, "lllr", rows, caption)


def _check(check: LabelCheck) -> str:
    if check.recall is None or check.precision is None:
        return "There are too few rows to check how many wrong labels are found."
    return (
        f"Check: when some labels were exchanged at random on the same predictions, {check.recall:.0%} of the "
        f"{check.changed:,} changed ones were suspected, and {check.precision:.0%} of all suspected ones were changed "
        "ones. The models had learned from the labels as they are, so that wrong labels in the data may be found less "
        "often."
    )
