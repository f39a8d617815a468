"""The `podium` command, its subcommands grouped by what people do."""

from __future__ import annotations

import logging
import sys

import typer

from podium.cli import hpo, kubeflow, profile, results, run, submit
from podium.cli.data import data
from podium.cli.doctor import doctor
from podium.cli.evaluate import evaluate
from podium.cli.infer import infer
from podium.errors import PodiumError, disk_full_message, is_disk_full

app = typer.Typer(
    name="podium",
    help="Given a labelled data set, which model do I ship? Answered with evidence.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
_PANELS = {
    "Find and measure models": (data, run.run, run.benchmark),
    "Predict new rows": (infer,),
    "Run on Kubeflow Pipelines": (submit.submit, kubeflow.runs, kubeflow.logs, kubeflow.cancel, kubeflow.fetch),
    "Look at results": (results.compare, evaluate, results.lineage, results.explain, results.replay),
    "Decide what is in use": (results.promote, results.rollback, results.history),
    "Look at a cluster": (doctor,),
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.add_typer(hpo.app, name="hpo", rich_help_panel="Find and measure models")
app.add_typer(profile.app, name="profile", rich_help_panel="Find and measure models")
app.add_typer(kubeflow.schedule, name="schedule", rich_help_panel="Run on Kubeflow Pipelines")
app.add_typer(run.config, name="config", rich_help_panel="Look at the configuration")


def main() -> None:
    """Run the command: exit code 0 done, 1 a step failed, 2 bad input, 130 stopped."""
    fetching = logging.getLogger("podium.remote")
    fetching.setLevel(logging.INFO)
    fetching.handlers = [logging.StreamHandler()]
    try:
        app(standalone_mode=True)
    except PodiumError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        if not is_disk_full(error):
            raise
        typer.echo(f"error: {disk_full_message(error, elsewhere='choose another place with output=DIR')}", err=True)
        sys.exit(1)
