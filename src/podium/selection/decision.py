"""Does the winner replace the incumbent? Pure functions, so that a verdict can be made again from its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from podium.config.selection import PromotionConfig, SelectionConfig
from podium.errors import InputError
from podium.records import RULE, Comparison, DecisionRecord, Evidence, Incumbent, Measurement, Reason, Verdict, refit_of
from podium.selection.comparison import as_good, described, shown_better, shown_worse
from podium.selection.winner import (
    CONSTRAINT_BROKEN,
    UNITS,
    Candidate,
    Choice,
    broken,
    choose,
    quantity,
    quantity_bounds,
)

NO_WINNER = "no-winner"
NO_INCUMBENT = "no-incumbent"
ALREADY_CHAMPION = "already-champion"
FORCED = "forced"
ROLLED_BACK = "rolled-back"
BETTER = "better-than-incumbent"
WORSE = "worse-than-incumbent"
NOT_BETTER = "not-measurably-better"
GAIN_TOO_SMALL = "gain-too-small"
CHEAPER = "cheaper-than-incumbent"
CHEAPER_ONLY = "only-cheaper"
INCUMBENT_BREAKS = "incumbent-breaks-constraint"
NOT_COMPARABLE = "not-comparable"
TOO_FEW_ROWS = "too-few-rows"
TOO_FEW_TRIALS = "too-few-trials"
WORSE_THAN_BASELINE = "worse-than-baseline"
BASELINE_NOT_BEATEN = "baseline-not-beaten"

Decision = tuple[Verdict, tuple[Reason, ...]]


@dataclass(frozen=True)
class Judgement:
    """The choice and the verdict that follow from evidence, and the reasons for both."""

    choice: Choice
    verdict: Verdict
    reasons: tuple[Reason, ...]

    @property
    def decisive(self) -> Reason:
        """The reason that the verdict is based on."""
        return self.reasons[len(self.choice.reasons)]


def judge(evidence: Evidence) -> Judgement:
    """Choose the winner and decide on it.

    Raises:
        InputError: a measured variant has no score, or a candidate was not compared with the best within the
            constraints.
    """
    choice = choice_of(evidence)
    winner = choice.winner
    verdict, reasons = decide(
        winner,
        evidence.incumbent,
        evidence.policy,
        evidence.against_incumbent,
        rows=evidence.rows,
        baselines=[item for item in evidence.baseline_comparisons if winner and item.challenger == winner.name],
        not_comparable=evidence.not_comparable,
        withdrawn=_withdrawn(evidence, winner) if winner else "",
        holder=evidence.incumbent_measurement,
    )
    return Judgement(choice, verdict, (*choice.reasons, *reasons))


def choice_of(evidence: Evidence) -> Choice:
    """The winner that follows from evidence, whatever the incumbent.

    Raises:
        InputError: see `judge`.
    """
    return choose(
        evidence.leaderboard,
        evidence.comparisons,
        evidence.measurements,
        evidence.policy,
        evidence.variant_scores,
        evidence.rows,
    )


def _withdrawn(evidence: Evidence, winner: Candidate) -> str:
    """Who rolled the winner back and why; empty when nobody did.

    A rollback counts against every variant of its refit, since it is not known whether the weights or the form were
    the trouble. While another variant of that refit is the champion, it counts against its own variant alone.
    """
    digest, incumbent = winner.entry.model_digest, evidence.incumbent
    if incumbent is not None and incumbent.model_digest == digest:
        return evidence.withdrawn.get(winner.identity, "")
    return next((why for name, why in sorted(evidence.withdrawn.items()) if refit_of(name) == digest), "")


def replay(record: DecisionRecord) -> tuple[Judgement, list[str]]:
    """Judge the evidence of a record again; returns the judgement, and how it differs from what is recorded.

    Raises:
        InputError: the record was made by another rule, or a champion in the evidence was not compared with the best.
    """
    if record.evidence.rule != RULE:
        raise InputError(
            f"a decision can be made again by the rule that it was made by, but this one was made by "
            f"{record.evidence.rule!r} and this version of Podium decides by {RULE!r}; it recorded {record.verdict}"
        )
    found = judge(record.evidence)
    winner = found.choice.winner
    recorded = {
        "verdict": (record.verdict, found.verdict),
        "winner": (record.winner, winner.entry.backbone if winner else None),
        "variant": (record.winner_variant, winner.variant if winner else None),
        "reasons": ([reason.code for reason in record.reasons], [reason.code for reason in found.reasons]),
    }
    return found, [f"{name}: recorded {was}, replayed {now}" for name, (was, now) in recorded.items() if was != now]


def decide(
    winner: Candidate | None,
    incumbent: Incumbent | None,
    policy: SelectionConfig,
    comparison: Comparison | None,
    *,
    rows: int,
    baselines: Sequence[Comparison] = (),
    not_comparable: str = "",
    withdrawn: str = "",
    holder: Measurement | None = None,
) -> Decision:
    """The verdict and its reasons, each with a stable code; the one that the verdict is based on comes first.

    Args:
        winner: None when no candidate may be promoted.
        incumbent: None when nothing is promoted yet.
        policy: constraints, cost, and what a promotion needs or whether it is forced.
        comparison: winner minus incumbent on the same held-out rows; None when the incumbent has no predictions for
            them, and then `not_comparable` says why.
        rows: held-out rows.
        baselines: winner minus each baseline.
        withdrawn: who rolled this very model back and why; empty when nobody did.
        holder: the incumbent's measurement on the hardware of the winner; None when it could not be measured there.
    """
    asked = policy.promotion
    if winner is None:
        return _verdict("REJECT", NO_WINNER, "No candidate of this run may be promoted.")
    missing = (*_missing_evidence(winner, asked, rows), *_unbeaten(baselines))
    if incumbent is not None and winner.identity == incumbent.identity:
        text = f"{winner.name} is already promoted as {_title(incumbent)}."
        return "HOLD", (Reason(code=ALREADY_CHAMPION, text=text), *missing)
    if asked.force:
        return "PROMOTE", (Reason(code=FORCED, text=f"Promotion was forced: {asked.reason}"), *missing)
    if withdrawn:
        text = f"{winner.name} was promoted before and {withdrawn}. Force the promotion to promote it again."
        return "HOLD", (Reason(code=ROLLED_BACK, text=text), *missing)
    if incumbent is None:
        text = f"{winner.name} may be promoted: there is no incumbent to beat."
        verdict, reasons = _verdict("PROMOTE", NO_INCUMBENT, text)
    elif comparison is None:
        text = f"{winner.name} cannot be compared with {_title(incumbent)}: {not_comparable}"
        verdict, reasons = _verdict("HOLD", NOT_COMPARABLE, text)
    else:
        verdict, reasons = _by_interval(winner, incumbent, asked.min_gain, comparison)
        if verdict == "HOLD" and holder is not None:
            verdict, reasons = _by_cost(winner, incumbent, policy, comparison, holder, reasons)
    stopping = _stopping(missing, asked)
    worse = any(reason.code == WORSE_THAN_BASELINE for reason in stopping)
    if (verdict == "PROMOTE" and stopping) or (verdict == "HOLD" and worse):
        verdict = "REJECT" if worse else "HOLD"
        return verdict, (*stopping, *reasons, *(reason for reason in missing if reason not in stopping))
    return verdict, (*reasons, *missing)


def _by_interval(winner: Candidate, incumbent: Incumbent, min_gain: float, comparison: Comparison) -> Decision:
    gain = comparison.difference
    seen = f"the difference in {comparison.metric} on the same held-out rows is {described(gain)}"
    pair = f"{winner.name} against {_title(incumbent)}"
    if gain.low > min_gain:
        return _verdict("PROMOTE", BETTER, f"{pair}: {seen}, wholly above the {min_gain:g} that is asked for.")
    if shown_worse(comparison):
        return _verdict("REJECT", WORSE, f"{pair}: {seen}, wholly below zero.")
    if shown_better(comparison):
        return _verdict("HOLD", GAIN_TOO_SMALL, f"{pair}: {seen}, not wholly above the {min_gain:g} that is asked for.")
    return _verdict("HOLD", NOT_BETTER, f"{pair}: {seen}, so it is not shown to be better.")


def _by_cost(
    winner: Candidate,
    incumbent: Incumbent,
    policy: SelectionConfig,
    comparison: Comparison,
    holder: Measurement,
    held: tuple[Reason, ...],
) -> Decision:
    """The winner replaces an incumbent that breaks a constraint, or one that costs enough more and is no better.

    Args:
        comparison: winner minus incumbent. The winner is not shown to be worse; to be promoted for a saving it must be
            shown to be as good, within the margin.
        holder: the incumbent's measurement.
        held: why the winner is not promoted for its quality.
    """
    unmet = broken(_title(incumbent), partial(quantity, holder), policy.constraints)
    if faults := [reason.text for reason in unmet if reason.code == CONSTRAINT_BROKEN]:
        return "PROMOTE", (Reason(code=INCUMBENT_BREAKS, text=" ".join(faults)), *held)
    own, theirs = (quantity_bounds(item, policy.cost) if item else None for item in (winner.measurement, holder))
    if own is None or theirs is None or theirs[0] <= 0 or own[2] >= theirs[0]:
        return "HOLD", held
    saved, asked = 1 - own[2] / theirs[0], policy.promotion.min_saving
    seen = (
        f"{winner.name} saves at least {saved:.0%} of the {policy.cost} of {_title(incumbent)}: at most "
        f"{own[2]:.4g} against at least {theirs[0]:.4g} {UNITS[policy.cost]}"
    )
    if asked is not None and saved >= asked and not as_good(comparison, policy.margin):
        text = f"{seen}, but it is not shown to be as good within selection.margin={policy.margin:g}."
        return "HOLD", (*held, Reason(code=CHEAPER_ONLY, text=text))
    if asked is not None and saved >= asked:
        text = f"{seen}, and selection.promotion.min_saving asks for {asked:.0%}."
        return "PROMOTE", (Reason(code=CHEAPER, text=text), *held)
    rule = "is not set" if asked is None else f"asks for {asked:.0%}"
    text = f"{seen}, but selection.promotion.min_saving {rule}, so its cost does not promote it."
    return "HOLD", (*held, Reason(code=CHEAPER_ONLY, text=text))


def _missing_evidence(winner: Candidate, policy: PromotionConfig, rows: int) -> list[Reason]:
    reasons = []
    if rows < policy.min_test_rows:
        text = f"The {rows} held-out rows are fewer than selection.promotion.min_test_rows={policy.min_test_rows}."
        reasons.append(Reason(code=TOO_FEW_ROWS, text=text))
    if winner.entry.trials < policy.min_trials:
        text = (
            f"The {winner.entry.trials} finished trials of {winner.entry.backbone} are fewer than "
            f"selection.promotion.min_trials={policy.min_trials}."
        )
        reasons.append(Reason(code=TOO_FEW_TRIALS, text=text))
    return reasons


def _unbeaten(baselines: Sequence[Comparison]) -> list[Reason]:
    """The baselines that the winner is not shown to beat.

    That it beats all of them is one claim, which needs no adjustment for their number (the intersection-union test,
    Berger, 1982).
    """
    reasons = []
    for item in baselines:
        if shown_better(item):
            continue
        code, lost = (
            (WORSE_THAN_BASELINE, "is worse than")
            if shown_worse(item)
            else (BASELINE_NOT_BEATEN, "is not shown to beat")
        )
        seen = f"the difference in {item.metric} is {described(item.difference)}"
        reasons.append(Reason(code=code, text=f"{item.challenger} {lost} the {item.reference} baseline: {seen}."))
    return reasons


def _stopping(missing: Sequence[Reason], policy: PromotionConfig) -> list[Reason]:
    """The reasons among `missing` that forbid a promotion under the policy."""
    about_baselines = {WORSE_THAN_BASELINE, BASELINE_NOT_BEATEN}
    return [reason for reason in missing if policy.must_beat_baselines or reason.code not in about_baselines]


def _title(incumbent: Incumbent) -> str:
    return f"{incumbent.name} version {incumbent.version}"


def _verdict(verdict: Verdict, code: str, text: str) -> Decision:
    return verdict, (Reason(code=code, text=text),)
