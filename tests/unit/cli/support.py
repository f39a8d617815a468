"""What the tests of commands for Kubeflow Pipelines share."""

from __future__ import annotations

from click.testing import Result
from typer.testing import CliRunner

from podium.cli.app import app
from podium.errors import ClusterError, InputError, StepFailed
from tests.kfp_server import Kfp, at, moment, task

SMALL = ("--preset", "smoke", "--entrant", "linear", "--no-read", "tracking=off")
DONE = (task("prepare", "SUCCEEDED", 1, 4), task("hpo", "SUCCEEDED", 4, 6), task("hpo", "SUCCEEDED", 4, 7, number=1))


def podium(server: Kfp, *arguments: str, code: int = 0) -> Result:
    words = list(arguments)
    result = CliRunner().invoke(app, [*words, "--endpoint", server.url])
    assert result.exit_code == code, (result.output, result.exception)
    return result


def refused(server: Kfp, *arguments: str) -> str:
    result = CliRunner().invoke(app, [*arguments, "--endpoint", server.url])
    assert isinstance(result.exception, (ClusterError, InputError, StepFailed)), (result.output, result.exception)
    return str(result.exception)


def submitted(server: Kfp, volume: tuple[str, ...], *course: dict[str, object]) -> str:
    """Id of a run that is submitted, and goes this course."""
    server.course = list(course) or [moment("SUCCEEDED", *DONE, finished_at=at(9))]
    podium(server, "submit", *SMALL, *volume, "-y", "--detach")
    return str(server.runs[-1]["run_id"])


def pod(
    run: str, name: str, step: str, phase: str, label: str = "pipeline/runid", **status: object
) -> dict[str, object]:
    """A pod of a step of a run, with fields of its status."""
    node = f"champion-x.root.exit-handler-1.{step}.executor(0)"
    state: dict[str, object] = {"running": {}} if phase == "Running" else {"terminated": {"exitCode": 0}}
    metadata = {"name": name, "labels": {label: run}, "annotations": {"workflows.argoproj.io/node-name": node}}
    containers = [{"name": "main", "state": state}]
    return {"metadata": metadata, "status": {"phase": phase, "containerStatuses": containers, **status}}


def waiting(run: str, name: str, step: str) -> dict[str, object]:
    """A pod whose image cannot be pulled."""
    state = {"waiting": {"reason": "ImagePullBackOff", "message": "Back-off pulling image"}}
    return pod(run, name, step, "Pending", containerStatuses=[{"name": "main", "state": state}])
