"""The section `Why`: the reasons of the decision, the incumbent beside the winner, and the policy they follow."""

from __future__ import annotations

import shlex

from podium.display import numbers
from podium.display.blocks import Block, Code, Facts, Points, Section, Table, Text
from podium.records import Evidence, Incumbent, Reason
from podium.report.inputs import ReportInputs
from podium.report.leaderboard import comparison_table
from podium.report.measurements import COSTS
from podium.selection import decision as verdicts
from podium.selection.comparison import shown_worse
from podium.selection.winner import UNITS, quantity
from podium.tracking import redact

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
    verdicts.BASELINE_NOT_BEATEN: "It is not shown to beat every baseline.",
    verdicts.ROLLED_BACK: "It was rolled back before, so it is not promoted again.",
    verdicts.CHEAPER: "It is not shown to be worse than the incumbent, and costs less.",
    verdicts.INCUMBENT_BREAKS: "It is not shown to be worse than the incumbent, which breaks a constraint.",
    verdicts.NOT_COMPARABLE: "It cannot be compared with the incumbent, which stays.",
}
"""The verdict in one sentence, by the code of the reason that it is based on."""


def reasons(given: ReportInputs) -> list[Reason]:
    """The reasons of the decision, each once; those that a verdict can be based on come first."""
    return sorted(dict.fromkeys(given.decision.reasons), key=lambda reason: reason.code not in BRIEFLY)


def why_section(given: ReportInputs) -> Section:
    """The reasons, the incumbent, the candidates that were compared, and how to make the decision again."""
    decision, evidence = given.decision, given.decision.evidence
    blocks: list[Block] = [Points([(reason.text, reason.code) for reason in reasons(given)])]
    if decision.incumbent:
        blocks += _incumbent(decision.incumbent, given)
    if evidence.comparisons:
        blocks.append(_candidates(evidence))
    if decision.registered:
        said = ", ".join(f"{name} {value}" for name, value in decision.registered.items())
        blocks.append(Text(f"In the model registry: {said}.", "small"))
    store = f" --store {shlex.quote(given.run.config.store)}" if given.run.config.store else ""
    command = redact(f"podium replay {decision.key[:12]}{store}")
    says = "It judges the evidence kept with the decision again, and fails if the verdict comes out differently."
    title = "What was asked for, and how to make the decision again"
    blocks.append(Section(title, [Facts(_policy(evidence)), Code(command), Text(says, "small")], "closed"))
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
    lead = (
        "Variants within the constraints are tested one by one, the cheapest first, each by its own predictions and "
        "its own interval, and the first that is not worse than the best of them wins. The order is fixed by cost, so "
        "no adjustment is needed."
    )
    label = "Candidates against the best within the constraints"
    findings = ["worse" if shown_worse(one) else "not shown to be worse" for one in evidence.comparisons]
    table = comparison_table(evidence.comparisons, label, ("Candidate", "Against"), findings)
    return Section("Is a cheaper one as good?", [Text(lead, "muted"), table])


def _policy(evidence: Evidence) -> list[tuple[str, str]]:
    """What the decision asked for, in words."""
    policy, asked = evidence.policy, evidence.policy.promotion
    bounds = [f"{COSTS[name]} <= {bound:g} {UNITS[name]}" for name, bound in policy.constraints if bound is not None]
    saving = "does not count" if asked.min_saving is None else f"{asked.min_saving:.0%} promotes what is as good"
    found = [
        ("Cost", f"{COSTS[policy.cost]}: of candidates that are as good, the cheapest wins"),
        ("Constraints", ", ".join(bounds) or "none"),
        ("Gain over the incumbent", f"interval wholly above {asked.min_gain:g}"),
        ("Saving over the incumbent", saving),
        ("Least evidence", f"{asked.min_test_rows:,} held-out rows, {asked.min_trials:,} trials"),
        ("Baselines", "must all be beaten" if asked.must_beat_baselines else "need not be beaten"),
    ]
    return [*found, ("Forced", asked.reason or "")] if asked.force else found
