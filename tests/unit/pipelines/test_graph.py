"""The KFP pipeline is the table of steps: the same names, order and inputs, and a component for each step."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.stages.steps import STEPS, nodes, step_named

OUTPUTS = {
    "prepare": "data",
    "plan": "plan",
    "baseline": "baselines",
    "hpo": "study",
    "refit": "model",
    "select": "selection",
    "benchmark": "measurements",
    "decide": "decision",
    "curve": "learning_curve",
    "report": "page",
}
"""Name of the KFP artifact that carries the record of a step."""
COMPONENTS = {"plan": "prepare"}
"""The component that does a step, where that is not one of its own: a pod more would take longer than most plans."""
ROOT = Path(__file__).parents[3]
SPEC: dict[str, Any] = yaml.safe_load((ROOT / "pipelines" / "champion" / "pipeline.yaml").read_text())
FOLDERS = {path.parent.name: path.parent for path in (ROOT / "components").glob("*/*/component.py")}


def tasks() -> dict[str, dict[str, Any]]:
    """Every task of the compiled pipeline by name; those of the loop over entrants among them."""
    found = dict(SPEC["root"]["dag"]["tasks"])
    (name,) = (name for name, task in found.items() if "parameterIterator" in task)
    loop = found.pop(name)
    return found | SPEC["components"][loop["componentRef"]["name"]]["dag"]["tasks"]


def plural(output: str) -> str:
    return f"{output[:-1]}ies" if output.endswith("y") else f"{output}s"


def artifact_name(reader: str, name: str) -> str:
    """What a component calls the result of a step that it reads."""
    gathers = step_named(name).per_entrant and not step_named(reader).per_entrant
    output = OUTPUTS[name]
    return plural(output) if gathers else output


def test_the_pipeline_has_the_steps_of_the_table() -> None:
    assert set(tasks()) == {step.name for step in STEPS} - set(COMPONENTS)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_task_reads_what_the_table_says(step: Any) -> None:
    component = COMPONENTS.get(step.name, step.name)
    inputs = tasks()[component].get("inputs", {})
    artifacts = inputs.get("artifacts", {})
    expected = [] if component == "prepare" else ["run", *(artifact_name(step.name, name) for name in step.inputs)]
    assert sorted(artifacts) == sorted(expected)
    assert ("entrant" in inputs.get("parameters", {})) is step.per_entrant
    producers = {
        OUTPUTS[other.name]: COMPONENTS.get(other.name, other.name) for other in STEPS if not other.per_entrant
    }
    for name, artifact in artifacts.items():
        if name in producers and "taskOutputArtifact" in artifact:
            made = artifact["taskOutputArtifact"]
            assert (made["producerTask"], made["outputArtifactKey"]) == (producers[name], name)


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_a_component_takes_its_inputs_in_the_order_of_the_table_and_hands_over_its_record(step: Any) -> None:
    folder = FOLDERS[COMPONENTS.get(step.name, step.name)]
    module = importlib.import_module(f"podium.components.{folder.parent.name}.{folder.name}.component")
    spec = getattr(module, folder.name).component_spec
    artifacts = [name for name, one in (spec.inputs or {}).items() if "." in one.type and name != "run"]
    if folder.name == step.name:
        assert artifacts == [artifact_name(step.name, name) for name in step.inputs]
    assert OUTPUTS[step.name] in spec.outputs


def test_inputs_are_earlier_steps() -> None:
    names = [step.name for step in STEPS]
    assert all(names.index(name) < place for place, step in enumerate(STEPS) for name in step.inputs)


def test_steps_per_entrant_follow_each_other_for_each_entrant() -> None:
    titles = [step.title(entrant) for step, entrant in nodes(["a", "b"])]
    assert titles[:7] == ["prepare", "plan", "baseline", "hpo-a", "refit-a", "hpo-b", "refit-b"]
    assert titles[7:] == ["select", "benchmark", "decide", "curve", "report"]
