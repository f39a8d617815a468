"""How often does the rule that chooses the winner ship a worse model, and how honest is the winner's score?

`margin` simulates paired held-out rows of a best model and a cheaper one. For each number of rows, share of rows on
which the two agree, and true difference, it gives the share of cases in which the cheaper one is taken to be as good:
by the rule before ("not shown to be worse"), and by non-inferiority with several margins. It also gives the share of
cases in which it is shipped because it scores best, which no margin can prevent.

`score` simulates the choice of the best of several models on the rows that score it, and gives the bias of the winner's
score and the coverage of its interval, as measured and corrected by `podium.selection.winner_score`.
"""

from __future__ import annotations

import argparse
from itertools import product

import numpy as np
from scipy.stats import norm

from podium.evaluation.bootstrap import bootstrap_interval
from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.records import Comparison, Interval
from podium.selection.comparison import lower_bound
from podium.selection.winner_score import corrected_score

MARGINS = (0.0, 0.005, 0.01, 0.02)
RESAMPLES = 1000
LABELS = ("no", "yes")


def margins(simulations: int, seed: int) -> None:
    """Print a table of error rates and of power."""
    print(
        "| rows | agree | true loss | not shown worse | " + " | ".join(f"margin {m:g}" for m in MARGINS) + " | best |"
    )
    print("| " + "--- | " * (5 + len(MARGINS)))
    for rows, agree, loss in product((100, 320, 1000, 3000, 10000), (0.9, 0.97, 0.99), (0.0, 0.005, 0.01, 0.03)):
        if loss > 1 - agree + 1e-9:
            continue
        generator = np.random.default_rng((seed, rows, round(agree * 1000), round(loss * 1000)))
        apart = 1 - agree
        shares = [agree, max(0.0, apart - loss) / 2, (apart + loss) / 2]
        counts = generator.multinomial(rows, shares, size=simulations)
        gains = counts[:, 1] - counts[:, 2]
        lows, highs = np.empty(simulations), np.empty(simulations)
        for number, drawn in enumerate(counts):
            resampled = generator.multinomial(rows, drawn / rows, size=RESAMPLES)
            low, high = np.quantile((resampled[:, 1] - resampled[:, 2]) / rows, [0.025, 0.975])
            lows[number] = lower_bound(_comparison(gains[number] / rows, low, high, int(drawn[1:].sum())))
            highs[number] = high
        behind = gains <= 0
        cells = [np.mean(behind & (highs >= 0)), *(np.mean(behind & (lows >= -m)) for m in MARGINS), np.mean(gains > 0)]
        print(f"| {rows} | {agree:g} | {loss:g} | " + " | ".join(f"{cell:.1%}" for cell in cells) + " |", flush=True)


def _comparison(value: float, low: float, high: float, differing: int) -> Comparison:
    difference = Interval(value=value, low=low, high=high, confidence=0.95, method="percentile bootstrap")
    names = {"reference": "best", "challenger": "cheaper", "metric": "accuracy"}
    return Comparison(**names, difference=difference, differing=differing, p_value=1.0, measurably_worse=False)


def scores(simulations: int, seed: int) -> None:
    """Print a table of bias and coverage at 95 % confidence."""
    print("| rows | with yes | metric | models | right on yes, on no | bias | bias, corrected | covers | corrected |")
    print("| " + "--- | " * 9)
    alike = (0.9, 0.9)
    fields: tuple[tuple[str, float, tuple[tuple[float, float], ...]], ...] = (
        ("accuracy", 0.5, (alike,) * 2),
        ("accuracy", 0.5, (alike,) * 6),
        ("accuracy", 0.5, ((0.92, 0.92), alike, (0.88, 0.88), (0.85, 0.85))),
        ("accuracy", 0.5, ((0.95, 0.95), (0.8, 0.8))),
        ("macro_f1", 0.03, ((0.7, 0.99),) * 6),
        ("macro_f1", 0.03, ((0.7, 0.995), (0.0, 1.0))),
    )
    for rows, (metric, share, field) in product((100, 300, 1000), fields):
        generator = np.random.default_rng((seed, rows, len(field), round(100 * share)))
        found = np.array([_one_choice(generator, rows, share, metric, field, one) for one in range(simulations)])
        bias, corrected, covers, covers_corrected = found.mean(axis=0)
        (low, high), shown = (min(field), max(field)), "{:g}, {:g}".format
        print(
            f"| {rows} | {share:.0%} | {metric} | {len(field)} | "
            f"{shown(*low)}{'' if low == high else f' to {shown(*high)}'} | {bias:+.4f} | {corrected:+.4f} | "
            f"{covers:.1%} | {covers_corrected:.1%} |",
            flush=True,
        )


def _one_choice(
    generator: np.random.Generator,
    rows: int,
    share: float,
    metric: str,
    field: tuple[tuple[float, float], ...],
    seed: int,
) -> tuple[float, float, bool, bool]:
    """Errors of the winner's score and of the corrected one, and whether their intervals cover the truth."""
    shared = generator.standard_normal(rows)[:, None]
    own = generator.standard_normal((rows, len(field)))
    truth = (generator.random(rows) < share).astype(np.int64)
    truth[:2] = 0, 1
    of_yes, of_no = norm.ppf(np.array(field)).T
    right = np.sqrt(0.7) * shared + np.sqrt(0.3) * own < np.where(truth[:, None], of_yes, of_no)
    ids = tuple(map(str, range(rows)))
    models = [
        Predictions("text-classification", LABELS, ids, truth, np.where(column, truth, 1 - truth)) for column in right.T
    ]
    measured = [score(one, metric) for one in models]
    winner = int(np.argmax(measured))
    budget = {"metric": metric, "confidence": 0.95, "resamples": 300, "seed": seed}
    found = corrected_score(models, winner, lambda drawn: drawn.argmax(axis=1), **budget)
    plain = bootstrap_interval(models[winner], metric, 0.95, RESAMPLES, seed)
    true = _true(metric, share, *field[winner])
    return measured[winner] - true, found.value - true, plain.low <= true <= plain.high, found.low <= true <= found.high


def _true(metric: str, share: float, on_yes: float, on_no: float) -> float:
    """The score of a model on very many rows."""
    yes, no = share * on_yes, (1 - share) * on_no
    if metric == "accuracy":
        return yes + no
    wrong = 1 - yes - no
    return yes / (2 * yes + wrong) + no / (2 * no + wrong)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("margin", "score"))
    parser.add_argument("--simulations", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    {"margin": margins, "score": scores}[arguments.what](arguments.simulations, arguments.seed)


if __name__ == "__main__":
    main()
