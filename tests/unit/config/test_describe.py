"""The config and its fields as text."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from podium.config.compose import Composed
from podium.config.describe import describe_fields, explain_fields, render_config
from podium.errors import ConfigError


def test_one_field_is_explained_with_its_default_and_its_part_in_keys() -> None:
    text = explain_fields("training.precision")
    assert "Precision of training." in text and "default auto; changes keys" in text
    assert "One of" not in explain_fields("run_mode"), "the meaning names the values already"


def test_a_section_is_explained_field_by_field() -> None:
    names = [line for line in explain_fields("selection.promotion").splitlines() if not line.startswith(" ")]
    assert names == [one.name for one in describe_fields() if one.name.startswith("selection.promotion.")]


def test_a_name_of_the_user_s_own_leads_to_the_fields_of_its_entry() -> None:
    assert explain_fields("entrants.mine.path").startswith("entrants.NAME.path\n")


def test_the_reason_why_a_field_changes_no_key_is_given_also_where_its_section_has_it() -> None:
    assert "not part of any key: records results, does not shape them" in explain_fields("tracking.uri")


def test_links_and_marks_are_left_out_on_a_terminal() -> None:
    text = explain_fields()
    assert "](" not in text and "`" not in text


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ConfigError, match=r'did you mean "training"\?'):
        explain_fields("trainin")


def test_one_aligned_line_per_leaf(composed: Callable[..., Composed]) -> None:
    result = composed("hpo.max_trials=20")
    lines = render_config(result).splitlines()
    assert len(lines) == len(result.origins)
    by_key = {line.split()[0]: line for line in lines}
    assert by_key["hpo.max_trials"].split() == ["hpo.max_trials", "20", "command", "line"]
    assert by_key["dataset.query"].split()[1] == "null"
    assert by_key["dataset.deduplicate"].split()[1] == "true"
    assert "[8, 16, 32]" in by_key["hpo.space.batch_size.choices"]
    assert by_key["hpo.space.dropout.when"].split()[1] == "{}"
    assert by_key["seed"].index("schema default") == by_key["hpo.max_trials"].index("command line")


def test_no_line_ends_in_spaces_or_colour(composed: Callable[..., Composed]) -> None:
    text = render_config(composed())
    assert all(line == line.rstrip() for line in text.splitlines())
    assert "\x1b" not in text
