from __future__ import annotations

from collections.abc import Callable

from podium.config.compose import Composed
from podium.config.describe import render_config


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
