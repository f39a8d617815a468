from __future__ import annotations

import pytest

from podium.text import did_you_mean, foreign, nearest, redact, shortened


@pytest.mark.parametrize(
    "name, expected",
    [("acuracy", "accuracy"), ("ACCURACY", "accuracy"), ("macro-f1", "Macro_F1"), ("zzz", None)],
)
def test_the_nearest_name_is_found_whatever_its_case(name: str, expected: str | None) -> None:
    assert nearest(name, ["accuracy", "Macro_F1"]) == expected


def test_a_hint_names_the_nearest_name_or_is_empty() -> None:
    assert did_you_mean("sever", ["server", "grid"]) == '; did you mean "server"?'
    assert did_you_mean("sever", []) == ""


def test_only_as_many_items_are_shown_as_the_limit_allows() -> None:
    assert shortened(["a", "b"], 2) == "a, b"
    assert shortened(["a", "b", "c", "d"], 2) == "a, b and 2 more"
    assert shortened(["a", "b", "c"], 2, "\n") == "a\nb\nand 1 more"


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


def test_messages_of_other_libraries_lose_their_escapes_and_keep_their_last_cause() -> None:
    try:
        try:
            raise KeyError("aten::odd")
        except KeyError as error:
            raise RuntimeError("\x1b[31mFailed to export.\x1b[0m\n\tThis is step 1/3 \x1b]8;;x\x07of it") from error
    except RuntimeError as error:
        found = foreign(error)
    assert found == "Failed to export. This is step 1/3 of it (because of KeyError: 'aten::odd')"
    assert foreign(ValueError()) == "ValueError"
    assert len(foreign(ValueError("word " * 1000))) < 450
