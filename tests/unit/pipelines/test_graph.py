"""The KFP pipeline is the table of steps: the same names, order and inputs, and a component for each step."""

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from podium.config.pods import CREDENTIALS
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
    "profile": "profile",
    "report": "page",
}
"""Name of the KFP artifact that carries the record of a step."""
COMPONENTS = {"plan": "prepare"}
"""The component that does a step, where that is not one of its own: a pod more would take longer than most plans."""
OTHERS = {"close", "reuse"}
"""Tasks that are no step: one ends the run in MLflow, one shows an answer that is stored in whole."""
ROOT = Path(__file__).parents[3]
SPEC, PLATFORM = yaml.safe_load_all((ROOT / "pipelines" / "champion" / "pipeline.yaml").read_text())
FOLDERS = {path.parent.name: path.parent for path in (ROOT / "components").glob("*/*/component.py")}


def tasks() -> dict[str, dict[str, Any]]:
    """The tasks of the compiled pipeline by name; those of its branches and of the loop over entrants among them."""

    def below(dag: dict[str, Any]) -> dict[str, dict[str, Any]]:
        found = {}
        for name, task in dag["tasks"].items():
            component = SPEC["components"][task["componentRef"]["name"]]
            found |= below(component["dag"]) if "dag" in component else {name: task}
        return found

    return below(SPEC["root"]["dag"])


def plural(output: str) -> str:
    return f"{output[:-1]}ies" if output.endswith("y") else f"{output}s"


def artifact_name(reader: str, name: str) -> str:
    """What a component calls the result of a step that it reads."""
    gathers = step_named(name).per_entrant and not step_named(reader).per_entrant
    output = OUTPUTS[name]
    return plural(output) if gathers else output


def test_the_pipeline_has_the_steps_of_the_table() -> None:
    assert set(tasks()) == {step.name for step in STEPS} - set(COMPONENTS) | OTHERS


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


@pytest.mark.parametrize("name", [*tasks()])
def test_a_pod_runs_where_its_pool_says(name: str) -> None:
    """Devices, memory and nodes are parameters; steps that need no device cannot be given one."""
    step = {step.name: step for step in STEPS}.get(name)
    pool = step.pool if step is not None else "cpu"
    container = SPEC["deploymentSpec"]["executors"][f"exec-{name}"]["container"]
    assert container["image"] == asked(f"pool_{pool}_image")
    resources = {
        "resourceCpuRequest": asked(f"pool_{pool}_cpu"),
        "resourceMemoryLimit": asked(f"pool_{pool}_memory"),
        "resourceMemoryRequest": asked(f"pool_{pool}_memory"),
    }
    device = {"resourceType": asked(f"pool_{pool}_device"), "resourceCount": asked(f"pool_{pool}_devices")}
    assert container["resources"] == resources | ({} if pool == "cpu" else {"accelerator": device})
    place = PLATFORM["platforms"]["kubernetes"]["deploymentSpec"]["executors"][f"exec-{name}"]
    (toleration,) = place["tolerations"]
    assert toleration["tolerationJson"]["componentInputParameter"].endswith(f"pool_{pool}_tolerations")
    selector = place["nodeSelector"]["nodeSelectorJson"]["componentInputParameter"]
    assert selector.endswith(f"pool_{pool}_selector")
    (secret,) = place["secretAsEnv"]
    assert secret["optional"] is True and {one["envVar"] for one in secret["keyToEnv"]} == {*CREDENTIALS}
    assert place["securityContext"] == {"runAsNonRoot": True}
    assert ("emptyDirMounts" in place) is (pool != "cpu")
    assert int(place["activeDeadlineSeconds"]) > 0
    assert tasks()[name].get("retryPolicy", {}).get("maxRetryCount", 0) == (0 if name == "prepare" else 2)


def test_every_group_of_tasks_is_given_the_parameters_that_it_uses() -> None:
    dags = [SPEC["root"], *(one for one in SPEC["components"].values() if "dag" in one)]
    for dag in dags:
        defined = set(dag.get("inputDefinitions", {}).get("parameters", {}))
        for name, task in dag["dag"]["tasks"].items():
            given = task.get("inputs", {}).get("parameters", {})
            used = {one["componentInputParameter"] for one in given.values() if "componentInputParameter" in one}
            assert used <= defined, name
            component = SPEC["components"][task["componentRef"]["name"]]
            if "dag" in component:
                asked_for = component["inputDefinitions"]["parameters"]
                assert {one for one in asked_for if not one.endswith("-loop-item")} <= set(given), name


def asked(parameter: str) -> str:
    """How the compiled pipeline refers to a parameter of the pod form."""
    return f"{{{{$.inputs.parameters['pipelinechannel--{parameter}']}}}}"


def test_whatever_happens_the_run_is_closed_at_the_end() -> None:
    closing = SPEC["root"]["dag"]["tasks"]["close"]
    assert closing["triggerPolicy"] == {"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"}
    assert closing["dependentTasks"] == ["exit-handler-1"]


def test_inputs_are_earlier_steps() -> None:
    names = [step.name for step in STEPS]
    assert all(names.index(name) < place for place, step in enumerate(STEPS) for name in step.inputs)


def test_steps_per_entrant_follow_each_other_for_each_entrant() -> None:
    titles = [step.title(entrant) for step, entrant in nodes(["a", "b"])]
    assert titles[:7] == ["prepare", "plan", "baseline", "hpo-a", "refit-a", "hpo-b", "refit-b"]
    assert titles[7:] == ["select", "benchmark", "decide", "curve", "profile", "report"]
