"""Does the winner replace the incumbent? Pure functions, so that a verdict can be replayed from its evidence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from podium.config.selection import PromotionConfig
from podium.errors import InputError
from podium.records import Comparison, DecisionRecord, Evidence, Incumbent, LeaderboardEntry, Reason, Verdict
from podium.selection.winner import Choice, choose

NO_WINNER = "no-winner"
NO_INCUMBENT = "no-incumbent"
ALREADY_CHAMPION = "already-champion"
FORCED = "forced"
ROLLED_BACK = "rolled-back"
BETTER = "better-than-incumbent"
WORSE = "worse-than-incumbent"
NOT_BETTER = "not-measurably-better"
GAIN_TOO_SMALL = "gain-too-small"
NOT_COMPARABLE = "not-comparable"
TOO_FEW_ROWS = "too-few-rows"
TOO_FEW_TRIALS = "too-few-trials"
WORSE_THAN_BASELINE = "worse-than-baseline"
BASELINE_NOT_BEATEN = "baseline-not-beaten"

Decision = tuple[Verdict, tuple[Reason, ...]]


@dataclass(frozen=True)
class Judgement:
    """What follows from evidence: the choice, the verdict, and the reasons for both."""

    choice: Choice
    verdict: Verdict
    reasons: tuple[Reason, ...]

    @property
    def decisive(self) -> Reason:
        """What the verdict rests on."""
        return self.reasons[len(self.choice.reasons)]


def judge(evidence: Evidence) -> Judgement:
    """Choose the winner and decide on it.

    Raises:
        InputError: a champion was not compared with the best within the constraints.
    """
    choice = choose(evidence.leaderboard, evidence.comparisons, evidence.measurements, evidence.policy)
    winner = choice.winner.entry if choice.winner else None
    verdict, reasons = decide(
        winner,
        evidence.incumbent,
        evidence.policy.promotion,
        evidence.against_incumbent,
        rows=evidence.rows,
        baselines=[item for item in evidence.baseline_comparisons if winner and item.challenger == winner.backbone],
        not_comparable=evidence.not_comparable,
        withdrawn=evidence.withdrawn.get(winner.model_digest, "") if winner else "",
    )
    return Judgement(choice, verdict, (*choice.reasons, *reasons))


def replay(record: DecisionRecord) -> tuple[Judgement, list[str]]:
    """Judge the evidence of a record again; returns the judgement, and how it differs from what is recorded.

    Raises:
        InputError: a champion in the evidence was not compared with the best.
    """
    if record.evidence is None:
        raise InputError(f"decision {record.key[:12]} keeps no evidence to replay: an older Podium made it")
    found = judge(record.evidence)
    winner = found.choice.winner
    recorded = {
        "verdict": (record.verdict, found.verdict),
        "winner": (record.winner, winner.entry.backbone if winner else None),
        "variant": (record.winner_variant, winner.measurement.variant if winner and winner.measurement else None),
        "reasons": ([reason.code for reason in record.reasons], [reason.code for reason in found.reasons]),
    }
    return found, [f"{name}: recorded {was}, replayed {now}" for name, (was, now) in recorded.items() if was != now]


def decide(
    winner: LeaderboardEntry | None,
    incumbent: Incumbent | None,
    policy: PromotionConfig,
    comparison: Comparison | None,
    *,
    rows: int,
    baselines: Sequence[Comparison] = (),
    not_comparable: str = "",
    withdrawn: str = "",
) -> Decision:
    """The verdict and its reasons, each with a stable code; what the verdict rests on comes first.

    Args:
        winner: None when no candidate may be promoted.
        incumbent: None when nothing is promoted yet.
        policy: what is asked of a promotion, and whether it is forced.
        comparison: winner minus incumbent on the same held-out rows; None when the incumbent has no predictions for
            them, and then `not_comparable` says why.
        rows: held-out rows.
        baselines: winner minus each baseline.
        withdrawn: who rolled this very model back and why; empty when nobody did.
    """
    if winner is None:
        return _verdict("REJECT", NO_WINNER, "No candidate of this run may be promoted.")
    missing = (*_missing_evidence(winner, policy, rows), *_unbeaten(baselines))
    if incumbent is not None and winner.model_digest == incumbent.model_digest:
        text = f"{winner.backbone} is already promoted as {_title(incumbent)}."
        return "HOLD", (Reason(code=ALREADY_CHAMPION, text=text), *missing)
    if policy.force:
        return "PROMOTE", (Reason(code=FORCED, text=f"Promotion was forced: {policy.reason}"), *missing)
    if withdrawn:
        text = f"{winner.backbone} was promoted before and {withdrawn}. Force the promotion to promote it again."
        return "HOLD", (Reason(code=ROLLED_BACK, text=text), *missing)
    if incumbent is None:
        text = f"{winner.backbone} may be promoted: there is no incumbent to beat."
        verdict, reasons = _verdict("PROMOTE", NO_INCUMBENT, text)
    elif comparison is None:
        text = f"{winner.backbone} cannot be compared with {_title(incumbent)}: {not_comparable}"
        verdict, reasons = _verdict("HOLD", NOT_COMPARABLE, text)
    else:
        verdict, reasons = _by_interval(winner, incumbent, policy.min_gain, comparison)
    stopping = _stopping(missing, policy)
    if stopping and verdict == "PROMOTE":
        verdict = "REJECT" if any(reason.code == WORSE_THAN_BASELINE for reason in stopping) else "HOLD"
        return verdict, (*stopping, *reasons, *(reason for reason in missing if reason not in stopping))
    return verdict, (*reasons, *missing)


def _by_interval(winner: LeaderboardEntry, incumbent: Incumbent, min_gain: float, comparison: Comparison) -> Decision:
    gain = comparison.difference
    seen = (
        f"the difference in {comparison.metric} on the same held-out rows is {gain.value:+.4f}, "
        f"between {gain.low:+.4f} and {gain.high:+.4f} at {gain.confidence:.0%} confidence"
    )
    pair = f"{winner.backbone} against {_title(incumbent)}"
    if gain.low > min_gain:
        return _verdict("PROMOTE", BETTER, f"{pair}: {seen}, wholly above the {min_gain:g} that is asked for.")
    if gain.high < 0:
        return _verdict("REJECT", WORSE, f"{pair}: {seen}, wholly below zero.")
    if gain.low > 0:
        return _verdict("HOLD", GAIN_TOO_SMALL, f"{pair}: {seen}, not wholly above the {min_gain:g} that is asked for.")
    return _verdict("HOLD", NOT_BETTER, f"{pair}: {seen}, so it is not shown to be better.")


def _missing_evidence(winner: LeaderboardEntry, policy: PromotionConfig, rows: int) -> list[Reason]:
    reasons = []
    if rows < policy.min_test_rows:
        text = f"The {rows} held-out rows are fewer than selection.promotion.min_test_rows={policy.min_test_rows}."
        reasons.append(Reason(code=TOO_FEW_ROWS, text=text))
    if winner.trials < policy.min_trials:
        text = (
            f"The {winner.trials} finished trials of {winner.backbone} are fewer than "
            f"selection.promotion.min_trials={policy.min_trials}."
        )
        reasons.append(Reason(code=TOO_FEW_TRIALS, text=text))
    return reasons


def _unbeaten(baselines: Sequence[Comparison]) -> list[Reason]:
    """The baselines that the winner is not shown to beat.

    The one claim, that it beats all of them, needs no adjustment for their number (the intersection-union test, Berger,
    1982).
    """
    reasons = []
    for item in baselines:
        gain = item.difference
        if gain.low > 0:
            continue
        seen = (
            f"the difference in {item.metric} is {gain.value:+.4f}, between {gain.low:+.4f} and {gain.high:+.4f} at "
            f"{gain.confidence:.0%} confidence."
        )
        if gain.high < 0:
            text = f"{item.challenger} is worse than the {item.reference} baseline: {seen}"
            reasons.append(Reason(code=WORSE_THAN_BASELINE, text=text))
        else:
            text = f"{item.challenger} is not shown to beat the {item.reference} baseline: {seen}"
            reasons.append(Reason(code=BASELINE_NOT_BEATEN, text=text))
    return reasons


def _stopping(missing: Sequence[Reason], policy: PromotionConfig) -> list[Reason]:
    """Those of the reasons that forbid a promotion under the policy."""
    about_baselines = {WORSE_THAN_BASELINE, BASELINE_NOT_BEATEN}
    return [reason for reason in missing if policy.must_beat_baselines or reason.code not in about_baselines]


def _title(incumbent: Incumbent) -> str:
    return f"{incumbent.name} version {incumbent.version}"


def _verdict(verdict: Verdict, code: str, text: str) -> Decision:
    return verdict, (Reason(code=code, text=text),)
