"""Does the winner replace the incumbent? Pure functions, so that a verdict can be made again from its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from podium.errors import InputError
from podium.records import RULE, Comparison, CopiedRows, DecisionRecord, Evidence, Incumbent, Reason, Verdict, refit_of
from podium.selection.comparison import as_good, baseline_named, described, shown_better, shown_worse
from podium.selection.winner import (
    CONSTRAINT_BROKEN,
    UNITS,
    Candidate,
    Choice,
    bounds_of,
    broken,
    choose,
    quantity,
    unstable,
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
COPIED_ROWS = "copied-rows"
NOTHING_BUT_COPIES = "nothing-shown-without-copies"
TEST_ROWS_DIFFER = "test-rows-differ"
FEW_TEST_ROWS = "few-test-rows"

_FEW = 30
"""Test rows below which the score in cross-validation, of many more, is worth a word."""
_FAR = 2.0
"""So many times as far below the score in cross-validation as its interval reaches, a test score is no chance."""

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
        InputError: see `podium.selection.winner.choose`.
    """
    choice = choose(evidence)
    verdict, reasons = decide(choice.winner, evidence)
    return Judgement(choice, verdict, (*choice.reasons, *reasons))


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
        "winner": (record.winner, winner.entry.entrant if winner else None),
        "variant": (record.winner_variant, winner.variant if winner else None),
        "reasons": ([reason.code for reason in record.reasons], [reason.code for reason in found.reasons]),
    }
    return found, [f"{name}: recorded {was}, replayed {now}" for name, (was, now) in recorded.items() if was != now]


def decide(winner: Candidate | None, evidence: Evidence) -> Decision:
    """The verdict and its reasons, each with a stable code; the one that the verdict is based on comes first.

    Args:
        winner: that of the evidence; None when no candidate may be promoted.
    """
    asked, incumbent, comparison = evidence.policy.promotion, evidence.incumbent, evidence.against_incumbent
    if winner is None:
        return _verdict("REJECT", NO_WINNER, "No candidate of this run may be promoted.")
    missing, stopping = _missing_evidence(winner, evidence)
    if incumbent is not None and winner.identity == incumbent.identity:
        text = f"{winner.name} is already promoted as {_title(incumbent)}."
        return "HOLD", (Reason(code=ALREADY_CHAMPION, text=text), *missing)
    if asked.force:
        return "PROMOTE", (Reason(code=FORCED, text=f"Promotion was forced: {asked.reason}"), *missing)
    if withdrawn := _withdrawn(evidence, winner):
        text = f"{winner.name} was promoted before and {withdrawn}. Force the promotion to promote it again."
        return "HOLD", (Reason(code=ROLLED_BACK, text=text), *missing)
    if incumbent is None:
        text = "There is no incumbent to beat."
        if not stopping:
            text = f"{winner.name} may be promoted: there is no incumbent to beat."
        verdict, reasons = _verdict("PROMOTE", NO_INCUMBENT, text)
    elif comparison is None:
        text = f"{winner.name} cannot be compared with {_title(incumbent)}: {evidence.not_comparable}"
        verdict, reasons = _verdict("HOLD", NOT_COMPARABLE, text)
    else:
        verdict, reasons = _by_interval(winner, incumbent, asked.min_gain, comparison)
        if verdict == "HOLD" and evidence.incumbent_measurement is not None:
            verdict, reasons = _by_cost(winner, evidence, reasons)
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


def _by_cost(winner: Candidate, evidence: Evidence, held: tuple[Reason, ...]) -> Decision:
    """The winner replaces an incumbent that breaks a constraint, or one that costs enough more and is no better.

    The winner is not shown to be worse; to be promoted for a saving it must be shown to be as good, within the margin.
    `held` says why it is not promoted for its quality.
    """
    incumbent, holder, comparison = evidence.incumbent, evidence.incumbent_measurement, evidence.against_incumbent
    assert incumbent and holder and comparison
    policy, asked = evidence.policy, evidence.policy.promotion.min_saving
    unmet = broken(_title(incumbent), partial(quantity, holder), policy.constraints)
    unsure = unstable(_title(incumbent), holder)
    if faults := [reason.text for reason in unmet if reason.code == CONSTRAINT_BROKEN]:
        return "PROMOTE", (Reason(code=INCUMBENT_BREAKS, text=" ".join(faults)), *held, *unsure)
    own, theirs = (bounds_of(item, policy.cost) if item else None for item in (winner.measurement, holder))
    if own is None or theirs is None or theirs[0] <= 0 or own[2] >= theirs[0]:
        return "HOLD", held
    saved = 1 - own[2] / theirs[0]
    seen = (
        f"{winner.name} saves at least {saved:.0%} of the {policy.cost} of {_title(incumbent)}: at most "
        f"{own[2]:.4g} against at least {theirs[0]:.4g} {UNITS[policy.cost]}"
    )
    if asked is None or saved < asked:
        rule = "is not set" if asked is None else f"asks for {asked:.0%}"
        why = f"but selection.promotion.min_saving {rule}, so its cost does not promote it"
    elif as_good(comparison, policy.margin):
        text = f"{seen}, and selection.promotion.min_saving asks for {asked:.0%}."
        return "PROMOTE", (Reason(code=CHEAPER, text=text), *held, *unsure)
    else:
        why = f"but it is not shown to be as good within selection.margin={policy.margin:g}"
    return "HOLD", (*held, Reason(code=CHEAPER_ONLY, text=f"{seen}, {why}."), *unsure)


def _missing_evidence(winner: Candidate, evidence: Evidence) -> tuple[list[Reason], list[Reason]]:
    """What speaks against a promotion, and that of it which forbids one under the policy.

    That the winner beats all baselines is one claim, which needs no adjustment for their number (the intersection-union
    test, Berger, 1982).
    """
    policy, rows, trials = evidence.policy.promotion, evidence.rows, winner.entry.trials
    reasons, lost, remarks = list[Reason](), list[Reason](), list[Reason]()
    if rows < policy.min_test_rows:
        text = f"The {rows} held-out rows are fewer than selection.promotion.min_test_rows={policy.min_test_rows}."
        reasons.append(Reason(code=TOO_FEW_ROWS, text=text))
    if trials < policy.min_trials:
        asked = f"selection.promotion.min_trials={policy.min_trials}"
        text = f"The {trials} finished trials of {winner.entry.entrant} are fewer than {asked}."
        reasons.append(Reason(code=TOO_FEW_TRIALS, text=text))
    for item in evidence.baseline_comparisons:
        if item.challenger == winner.name and not shown_better(item):
            code, verb = BASELINE_NOT_BEATEN, "is not shown to beat"
            if shown_worse(item):
                code, verb = WORSE_THAN_BASELINE, "is worse than"
            seen = f"the difference in {item.metric} is {described(item.difference)}"
            text = f"{item.challenger} {verb} {baseline_named(item.reference)}: {seen}."
            lost.append(Reason(code=code, text=text))
    if evidence.copied_rows is not None:
        copies = _of_copies(winner, evidence.copied_rows, rows)
        (lost if copies.code == NOTHING_BUT_COPIES else remarks).append(copies)
    remarks += _of_other_rows(winner) or _of_few_rows(winner, rows)
    return [*reasons, *lost, *remarks], [*reasons, *lost] if policy.must_beat_baselines else reasons


def _of_other_rows(winner: Candidate) -> list[Reason]:
    """That the test score is far below that of cross-validation, which the choice of the trial does not explain."""
    test, folds = winner.test, winner.entry
    if folds.cv_score - test.value <= max(_FAR * (test.high - test.value), _FAR * folds.cv_std):
        return []
    text = (
        f"{winner.name} scores {test.value:.4f} on the test rows, but {folds.cv_score:.4f} in cross-validation on the "
        "rows that it learned from, which is more than chance explains: the test rows are of another kind, so expect "
        "the higher score of new rows like those, and the lower one of rows like the test rows."
    )
    return [Reason(code=TEST_ROWS_DIFFER, text=text)]


def _of_few_rows(winner: Candidate, rows: int) -> list[Reason]:
    """That the test rows are few, and what the more rows of cross-validation say."""
    if not 0 < rows < _FEW:
        return []
    text = (
        f"{rows} test rows tell little: in cross-validation on the rows that it learned from, {winner.name} scores "
        f"{winner.entry.cv_score:.4f}."
    )
    return [Reason(code=FEW_TEST_ROWS, text=text)]


def _of_copies(winner: Candidate, copies: CopiedRows, rows: int) -> Reason:
    """What held-out rows that nearly repeat development rows do to the evidence."""
    count = f"{copies.rows} of {rows}" if copies.searched == 1 else f"At least {copies.rows} of {rows}"
    text = f"{count} held-out rows nearly repeat rows that the models learned from"
    if copies.score is None:
        return Reason(code=NOTHING_BUT_COPIES, text=f"{text}, so nothing is known of how it answers new rows.")
    score = copies.score
    text += f"; on the others {winner.name} scores {score.value:.4f}, between {score.low:.4f} and {score.high:.4f}"
    if copies.guessing is None or shown_better(copies.guessing):
        return Reason(code=COPIED_ROWS, text=f"{text}, which is what to expect of new rows.")
    return Reason(code=NOTHING_BUT_COPIES, text=f"{text}, and is not shown to beat guessing.")


def _title(incumbent: Incumbent) -> str:
    return f"{incumbent.name} version {incumbent.version}"


def _verdict(verdict: Verdict, code: str, text: str) -> Decision:
    return verdict, (Reason(code=code, text=text),)
