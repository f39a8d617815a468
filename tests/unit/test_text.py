from __future__ import annotations

import pytest

from podium.text import did_you_mean, nearest, shortened


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
