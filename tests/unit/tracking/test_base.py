from __future__ import annotations

import posixpath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.tracking.base import MAX_NAME, flatten, redact, tidy_name
from podium.tracking.connection import load_mlflow


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://me:pw@host:5432/db", "postgresql://***@host:5432/db"),
        ("postgresql+psycopg://me:p@ss:w@host/db", "postgresql+psycopg://***@host/db"),
        ("https://token@host/a@b", "https://***@host/a@b"),
        ("see https://a:b@c, then s3://k:s@d/e", "see https://***@c, then s3://***@d/e"),
        ("mssql://h/db?user=me&password=pw&timeout=3", "mssql://h/db?user=me&password=***&timeout=3"),
        ("https://h/x?X-Amz-Signature=ab%2Fc&X-Amz-Credential=q&n=1", None),
        ("https://acc.blob/x?sv=1&sig=abc", "https://acc.blob/x?sv=1&sig=***"),
        ("https://h/x?api_key=abc#part", "https://h/x?api_key=***#part"),
        ("sqlite:////home/me/mlflow.db", "sqlite:////home/me/mlflow.db"),
        ("mail me@host or learning_rate=0.1?design=x", "mail me@host or learning_rate=0.1?design=x"),
    ],
)
def test_credentials_are_taken_out_and_all_else_stays(text: str, expected: str | None) -> None:
    expected = expected or "https://h/x?X-Amz-Signature=***&X-Amz-Credential=***&n=1"
    assert redact(text) == expected
    assert redact(expected) == expected


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
