"""From likelihoods of options to decisions: what the options alone make likely is taken out, and order is examined.

A causal language model finds some labels likelier than others whatever the text: frequent words, short ones, the first
of a list. The mean log-probability of a label over rows of the data is that prior, and it is subtracted before the best
label is taken. This is the calibration of Zhao et al. (Calibrate Before Use, 2021) with an estimate from the domain's
own rows instead of an empty text, as Fei et al. (Mitigating Label Biases for In-context Learning, arXiv 2305.19148)
estimate it from the domain's words and Zhou et al. (Batch Calibration, arXiv 2309.17249) from a batch. It removes the
bias for lengths as well, which is why log-likelihoods are summed over the tokens of an option and not divided by their
number: to first order the length of an option shifts its score alike in every row, and what is alike in every row is
subtracted (the argument of Holtzman et al., Surface Form Competition, arXiv 2104.08315, for scoring by the ratio to the
likelihood without the text). Zheng et al. (Large Language Models Are Not Robust Multiple Choice Selectors, arXiv
2309.03882) estimate the prior of positions by permuting the options; here options are not told apart by positions, and
where a prompt lists them, `flip_rate` says what their order still does.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from podium.errors import InputError

Floats = NDArray[np.float64]


def normalised(likelihoods: Floats) -> Floats:
    """Log-probabilities of the options given that the answer is one of them, shape (rows, options)."""
    highest = likelihoods.max(axis=-1, keepdims=True)
    sums = np.log(np.exp(likelihoods - highest).sum(axis=-1, keepdims=True))
    found: Floats = likelihoods - highest - sums
    return found


def prior_of(likelihoods: Floats) -> Floats:
    """The prior of each option: the mean of its log-probability over rows, shifted to a mean of zero.

    Args:
        likelihoods: of the options for rows that stand for the data, shape (rows, options).

    Raises:
        InputError: there are no rows.
    """
    if not len(likelihoods):
        raise InputError("a prior must be estimated on at least one row, but there are none")
    means = normalised(likelihoods).mean(axis=0)
    found: Floats = means - means.mean()
    return found


def flip_rate(logits: Floats, reversed_logits: Floats) -> float:
    """Share of rows whose best option is another one when the prompt lists the options in reversed order.

    Both have the options in the same order, shape (rows, options).
    """
    return float(np.mean(logits.argmax(axis=-1) != reversed_logits.argmax(axis=-1)))
