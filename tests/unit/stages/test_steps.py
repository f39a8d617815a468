"""What the table of steps says to those who read it."""

from __future__ import annotations

from pkgutil import resolve_name

import pytest

from podium.report import render
from podium.stages.steps import STEPS, input_titles, inputs_of, nodes, result_tags, step_named
from tests.unit.report.samples import sample

INPUTS = sample()
ENTRANTS = list(INPUTS.run.config.entrants)


def test_every_step_of_a_run_is_tagged_with_its_result() -> None:
    tags = result_tags(INPUTS.steps.values())
    titles = [step.title(entrant) for step, entrant in nodes(ENTRANTS)]
    assert set(tags) == {f"podium.result.{title}" for title in titles if title != "report"}
    assert tags["podium.result.baseline"] == INPUTS.steps["baseline"].key


def test_the_report_shows_every_step_that_it_reads() -> None:
    page = render(INPUTS).html
    for title in input_titles(step_named("report"), "", ENTRANTS):
        assert f'<th scope="row">{title}</th>' in page


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_what_computes_a_step_is_there(step) -> None:
    assert callable(resolve_name(f"podium.stages.{step.compute}"))


def test_a_step_of_one_entrant_reads_the_results_of_this_entrant() -> None:
    given = inputs_of(step_named("refit"), ENTRANTS[1], INPUTS.run, INPUTS.steps)
    assert [record.kind for record in given.records] == ["data", "study"]
    assert given.records[1] == INPUTS.studies[1]


def test_a_step_that_gathers_reads_the_results_of_all_entrants() -> None:
    given = inputs_of(step_named("select"), "", INPUTS.run, INPUTS.steps)
    assert [record.kind for record in given.records] == ["baseline", "study", "study", "refit", "refit"]
