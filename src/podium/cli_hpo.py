"""`podium hpo`: studies from Katib files, and a look at any study."""

from __future__ import annotations

import typer

app = typer.Typer(help="Run studies, and look at them.", no_args_is_help=True)
