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
