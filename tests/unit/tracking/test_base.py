from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.errors import InputError
from podium.tracking.base import MAX_NAME, flatten, tidy_name
from podium.tracking.connection import load_mlflow
from podium.tracking.runs import quoted

load_mlflow()


@given(st.lists(st.text(max_size=300), unique=True, max_size=20))
def test_names_are_allowed_and_stay_distinct(names: list[str]) -> None:
    from mlflow.utils.validation import path_not_unique, validate_param_and_metric_name

    tidy = [tidy_name(name) for name in names]
    assert len(set(tidy)) == len(names)
    for name in tidy:
        assert validate_param_and_metric_name(name) and not path_not_unique(name)
        assert len(name) <= MAX_NAME and posixpath.normpath(name) == name


@pytest.mark.parametrize("name", ["training.learning_rate", "f1/B-PER", "podium.parent.refit", "a b"])
def test_allowed_names_are_left_alone(name: str) -> None:
    assert tidy_name(name) == name


def test_nested_values_become_dotted_names_and_json() -> None:
    given_ = {"a": {"b": 1, "c": {"d": True}}, "e": None, "f": ["x", 1.5], "g": "plain", "h": {}}
    assert dict(flatten(given_)) == {
        "a.b": "1",
        "a.c.d": "true",
        "e": "null",
        "f": '["x", 1.5]',
        "g": "plain",
    }


@given(st.text(min_size=1).filter(lambda text: not ("'" in text and '"' in text)))
def test_a_search_finds_any_text_with_one_kind_of_quotes(value: str) -> None:
    from mlflow.utils.search_utils import SearchUtils

    assert SearchUtils._strip_quotes(quoted(value), expect_quoted_value=True) == value


def test_a_text_with_both_kinds_of_quotes_cannot_be_searched() -> None:
    with pytest.raises(InputError, match="both kinds of quotes"):
        quoted('it\'s "x"')
