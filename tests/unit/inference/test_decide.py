import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from podium.errors import InputError
from podium.inference.decide import flip_rate, normalised, prior_of

LIKELIHOODS = arrays(np.float64, st.tuples(st.integers(1, 9), st.integers(2, 6)), elements=st.floats(-500, 0))


@given(LIKELIHOODS)
def test_normalised_likelihoods_are_log_probabilities_in_the_same_order(likelihoods):
    found = normalised(likelihoods)
    assert np.exp(found).sum(axis=1) == pytest.approx(1)
    assert found - found[:, :1] == pytest.approx(likelihoods - likelihoods[:, :1], abs=1e-9)


@given(LIKELIHOODS, st.data())
def test_what_is_alike_in_every_row_changes_no_decision(likelihoods, data):
    """A bias for a label, as by its length or its frequency, is part of the prior that is subtracted."""
    bias = data.draw(arrays(np.float64, likelihoods.shape[1], elements=st.floats(-100, 100)))
    plain, biased = (normalised(one) - prior_of(one) for one in (likelihoods, likelihoods + bias))
    differences = [one - one[:, :1] for one in (plain, biased)]
    assert differences[0] == pytest.approx(differences[1], abs=1e-6)


def test_a_prior_needs_rows():
    with pytest.raises(InputError, match="at least one row"):
        prior_of(np.zeros((0, 3)))


def test_the_flip_rate_counts_rows_with_another_best_option():
    there = np.array([[3.0, 1.0], [1.0, 3.0], [2.0, 1.0], [0.0, 1.0]])
    back = np.array([[3.0, 1.0], [3.0, 1.0], [2.0, 1.0], [1.0, 0.0]])
    assert flip_rate(there, back) == 0.5
