"""Does the winner replace the incumbent? A pure function, so that a verdict can be replayed from its inputs."""

from __future__ import annotations

from podium.config.schema import PromotionConfig
from podium.records import Comparison, Incumbent, LeaderboardEntry, Reason, Verdict

NO_WINNER = "no-winner"
NO_INCUMBENT = "no-incumbent"
ALREADY_CHAMPION = "already-champion"
FORCED = "forced"
BETTER = "better-than-incumbent"
WORSE = "worse-than-incumbent"
NOT_BETTER = "not-measurably-better"
GAIN_TOO_SMALL = "gain-too-small"
BETTER_BY_SCORE = "better-by-score"
WORSE_BY_SCORE = "worse-by-score"
GAIN_TOO_SMALL_BY_SCORE = "gain-too-small-by-score"
NOT_COMPARABLE = "not-comparable"

Decision = tuple[Verdict, tuple[Reason, ...]]


def decide(
    winner: LeaderboardEntry | None,
    incumbent: Incumbent | None,
    policy: PromotionConfig,
    comparison: Comparison | None,
    metric: str,
) -> Decision:
    """The verdict and its reasons, each with a stable code.

    Args:
        winner: None when no candidate may be promoted.
        incumbent: None when nothing is promoted yet.
        policy: the gain that is asked for, and whether promotion is forced.
        comparison: winner minus incumbent on the same held-out rows; None when the incumbent's predictions are not
            for those rows. Then the scores are compared as they stand, which the reason says.
        metric: of the winner's test score, larger is better.
    """
    if winner is None:
        return _verdict("REJECT", NO_WINNER, "No candidate of this run may be promoted.")
    if incumbent is None:
        return _verdict("PROMOTE", NO_INCUMBENT, f"{winner.backbone} is promoted: there is no incumbent to beat.")
    if winner.model_digest == incumbent.model_digest:
        return _verdict("HOLD", ALREADY_CHAMPION, f"{winner.backbone} is already promoted as {_title(incumbent)}.")
    if policy.force:
        return _verdict("PROMOTE", FORCED, f"Promotion was forced: {policy.reason}")
    if comparison is not None:
        return _by_interval(winner, incumbent, policy.min_gain, comparison)
    return _by_score(winner, incumbent, policy.min_gain, metric)


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


def _by_score(winner: LeaderboardEntry, incumbent: Incumbent, min_gain: float, metric: str) -> Decision:
    if incumbent.metric != metric:
        text = (
            f"{_title(incumbent)} was scored by {incumbent.metric} and {winner.backbone} by {metric}, "
            "and the incumbent has no predictions for these rows; score it on this data, or force the promotion."
        )
        return _verdict("HOLD", NOT_COMPARABLE, text)
    gain = winner.test.value - incumbent.score
    seen = (
        f"{winner.backbone} against {_title(incumbent)}: {metric} {winner.test.value:.4f} "
        f"against {incumbent.score:.4f} ({gain:+.4f}), on held-out rows that are not the same"
    )
    if gain > min_gain:
        return _verdict("PROMOTE", BETTER_BY_SCORE, f"{seen}: more than the {min_gain:g} that is asked for.")
    if gain < 0:
        return _verdict("REJECT", WORSE_BY_SCORE, f"{seen}: a loss.")
    return _verdict("HOLD", GAIN_TOO_SMALL_BY_SCORE, f"{seen}: not more than the {min_gain:g} that is asked for.")


def _title(incumbent: Incumbent) -> str:
    return f"{incumbent.name} version {incumbent.version}"


def _verdict(verdict: Verdict, code: str, text: str) -> Decision:
    return verdict, (Reason(code=code, text=text),)
