"""The winner's score, corrected for having been chosen on the rows that score it.

Bootstrap bias correction (Tsamardinos, Greasidou and Borboudakis, Bootstrapping the Out-of-sample Predictions for
Efficient and Accurate Cross-validation, Machine Learning 107, 2018): every resample of the held-out rows chooses a
winner anew, and the rows that are not in the resample score it. What it scores there less than the winner of all rows
is what the choice gained, and is taken from the winner's own score and from its score on the resample; the mean and
the quantiles of these are the estimate and its interval. The scores out of the resample are not the estimate
themselves: they are of a third of the rows, which may hold hardly any of a rare label, and are too low and far apart
even where every resample chooses the same. `benchmarks/selection_rule.py score` measures bias and coverage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Unpack

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri

from podium.config.benchmark import SelectionConfig
from podium.evaluation.bootstrap import in_and_out_of_bag, percentile_interval
from podium.evaluation.metrics import score
from podium.evaluation.predictions import Predictions
from podium.records import Interval
from podium.selection.comparison import Budget
from podium.selection.winner import Candidate, cheaper
from podium.tasks.metrics import Floats

METHOD = "bootstrap bias corrected"


def corrected_score(
    models: Sequence[Predictions], winner: int, pick: Callable[[Floats], NDArray[np.intp]], **budget: Unpack[Budget]
) -> Interval:
    """The score to expect of the winner, which is one of `models`.

    Args:
        models: held-out predictions of the candidates, for the same rows.
        winner: the index of the one that was chosen on all rows.
        pick: the index of the chosen model for each resample, shape (resamples,), from the scores of all models on
            each, shape (resamples, models).

    Raises:
        InputError: the metric is not supported by the predictions, or they are not for the same rows.
    """
    inside, outside = in_and_out_of_bag(models, budget["metric"], budget["resamples"], budget["seed"])
    gained = outside[:, winner] - outside[np.arange(len(outside)), pick(inside)]
    value = score(models[winner], budget["metric"]) - float(gained.mean())
    return percentile_interval(value, np.clip(inside[:, winner] - gained, 0.0, 1.0), budget["confidence"], METHOD)


def rule_of(candidates: Sequence[Candidate], config: SelectionConfig) -> Callable[[Floats], NDArray[np.intp]]:
    """The rule of `podium.selection.winner.choose` on resamples, for candidates within the constraints.

    It approximates: costs are as measured, and the half-width of the interval of each difference is that of all
    resamples, without the widening of `lower_bound`, so that no resample has to be resampled itself.
    """
    cost = np.array([np.inf if one.cost is None else one.cost for one in candidates])
    saves = np.array([[cheaper(one, best, config.cost) for one in candidates] for best in candidates])
    quantile = float(ndtri((1 + config.confidence) / 2))

    def pick(scores: Floats) -> NDArray[np.intp]:
        chosen: NDArray[np.intp] = scores.argmax(axis=1)
        for best in np.unique(chosen):
            rows = np.flatnonzero(chosen == best)
            differences = scores - scores[:, [best]]
            low = differences[rows] - quantile * differences.std(axis=0)
            costs = np.where((low >= -config.margin) & saves[best], cost, np.inf)
            costs[:, best] = np.where(np.isinf(costs).all(axis=1), 0.0, np.inf)
            chosen[rows] = costs.argmin(axis=1)
        return chosen

    return pick
