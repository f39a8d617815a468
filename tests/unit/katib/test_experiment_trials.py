"""Names and labels of trials, and the resource that a template becomes."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from podium.katib.experiment import from_katib, render, trial_name

from .test_experiment import document, text

PARAMS = {"lr": 0.02, "momentum": 0.7}


def rendered(params: Any = PARAMS, name: str = "random", value: str | None = None) -> Any:
    """The trial of an example; `value` becomes an argument of its own."""
    source = document(name)
    if value is not None:
        container = source["spec"]["trialTemplate"]["trialSpec"]["spec"]["template"]["spec"]["containers"][0]
        container["args"] = [value]
    return render(from_katib(source), 3, params)


def arguments(spec: Any) -> list[str]:
    container = spec["spec"]["template"]["spec"]["containers"][0]
    return [*container["command"], *container.get("args", ())]


def test_placeholders_become_values() -> None:
    spec = rendered()
    assert arguments(spec) == ["python3", "train.py", "--learningRate=0.02", "--momentum=0.7"]
    assert spec["metadata"] == {"name": trial_name(from_katib(document()), 3), "namespace": "team"}
    assert (spec["apiVersion"], spec["kind"]) == ("batch/v1", "Job")


def test_metadata_of_the_trial() -> None:
    katib = from_katib(document("trial-metadata"))
    spec = render(katib, 0, PARAMS)
    variables = {item["name"]: item["value"] for item in spec["spec"]["template"]["spec"]["containers"][0]["env"]}
    assert variables == {
        "TRIALNAME": trial_name(katib, 0),
        "TRIALNAMESPACE": "team",
        "TRIALKIND": "Job",
        "TRIALVERSION": "batch/v1",
        "TRIALTEAM": "vision",
        "TRIALNOTE": "small",
    }
    assert spec["metadata"]["labels"] == {"team": "vision"}


def test_a_placeholder_that_occurs_twice_or_inside_a_text() -> None:
    spec = rendered(value="lr ${trialParameters.learningRate}, again ${trialParameters.learningRate}; $(X) ${other}")
    assert arguments(spec)[-1] == "lr 0.02, again 0.02; $(X) ${other}"


def categorical(value: str) -> Any:
    """The trial of an experiment whose `lr` is chosen from texts."""
    source = document()
    source["spec"]["parameters"][0] = {
        "name": "lr",
        "parameterType": "categorical",
        "feasibleSpace": {"list": [value, "other"]},
    }
    return render(from_katib(source), 3, {"lr": value, "momentum": 0.7})


def test_a_value_that_looks_like_a_placeholder_stays() -> None:
    assert arguments(categorical("${trialParameters.momentum}"))[2] == "--learningRate=${trialParameters.momentum}"


@pytest.mark.parametrize("value", [r"a\tb", 'say "hi"', "größer"])
def test_a_value_is_put_in_as_it_is(value: str) -> None:
    assert arguments(categorical(value))[2] == f"--learningRate={value}"


def test_the_template_is_not_changed() -> None:
    katib = from_katib(text("random"))
    render(katib, 0, PARAMS)
    assert katib == from_katib(text("random"))


def test_names_are_those_of_katib_and_follow_from_the_number() -> None:
    katib = from_katib(document())
    names = [trial_name(katib, number) for number in range(1000)]
    assert all(re.fullmatch(r"random-[bcdfghjklmnpqrstvwxz2456789]{8}", name) for name in names)
    assert len(set(names)) == 1000
    assert names[0] == trial_name(from_katib(document()), 0) == "random-" + names[0][7:]


def test_names_differ_between_namespaces() -> None:
    source = document()
    source["metadata"]["namespace"] = "other"
    assert trial_name(from_katib(source), 0) != trial_name(from_katib(document()), 0)


@given(st.floats(0.01, 0.05), st.floats(0.5, 0.9))
def test_numbers_come_through_as_they_are(rate: float, momentum: float) -> None:
    found = arguments(rendered({"lr": rate, "momentum": momentum}))[2:]
    assert [float(item.partition("=")[2]) for item in found] == [rate, momentum]
