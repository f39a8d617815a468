"""`podium hpo`: studies from Katib files, and a look at any study."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import DEFAULT_STORE, Output, Store, existing_store
from podium.errors import InputError

app = typer.Typer(help="Run studies, and look at them.", no_args_is_help=True)

_WATCH_SECONDS = 1.0

StudyName = Annotated[str, typer.Argument(help="The name of a study, or enough of its key's first digits.")]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(help="A Katib Experiment (kubeflow.org/v1beta1) in YAML or JSON.")],
    directory: Annotated[Path, typer.Option(help="Where the store, the status and the logs are.")] = Path("podium-out"),
    output: Annotated[
        Literal["text", "yaml"],
        typer.Option("--output", "-o", help="yaml: print the Experiment with its status in the end."),
    ] = "text",
    seed: Annotated[int, typer.Option(min=0, help="Seed of the search where the file gives no random_state.")] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Begin anew, beside what there is under this name.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would run and what would be reused.")] = False,
) -> None:
    """Run a Katib Experiment on this machine; run the same file again to go on with it."""
    from rich.console import Console

    from podium.local.katib import check_end, plan_katib, read_experiment, run_katib
    from podium.strict_yaml import kubernetes_yaml

    katib = read_experiment(file, seed)
    if dry_run:
        typer.echo(plan_katib(file, katib, directory, fresh))
        return
    console = Console(file=sys.stdout if output == "text" else sys.stderr)
    try:
        resource = run_katib(file, katib, directory, fresh, console)
    except (KeyboardInterrupt, SystemExit) as stop:
        typer.echo("stopped; run the same command again to go on from what is stored", err=True)
        if isinstance(stop, SystemExit):
            raise
        raise typer.Exit(130) from None
    if output == "yaml":
        typer.echo(kubernetes_yaml(resource), nl=False)
    check_end(resource)


@app.command()
def status(
    study: Annotated[str, typer.Argument(help="One study by name or key; all of them when left out.")] = "",
    store: Store = DEFAULT_STORE,
    watch: Annotated[bool, typer.Option("--watch", help="Draw it again every second until no study runs.")] = False,
) -> None:
    """Say how every study stands, or one with its leading trials."""
    from podium.hpo.study import find_study, list_studies
    from podium.hpo.tables import studies_table, study_text

    opened = existing_store(store)

    def drawn() -> tuple[str, bool]:
        if study:
            found = find_study(opened, study)
            return study_text(found), found.state == "running"
        studies, problems = list_studies(opened)
        return studies_table(studies, problems), any(one.state == "running" for one in studies)

    text, running = drawn()
    if not watch:
        typer.echo(text)
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    with Live(Text(text), console=Console(), auto_refresh=False) as live:
        while running:
            time.sleep(_WATCH_SECONDS)
            text, running = drawn()
            live.update(Text(text), refresh=True)


@app.command()
def best(
    study: StudyName,
    output: Annotated[Literal["text", "json", "yaml"], Output] = "text",
    store: Store = DEFAULT_STORE,
) -> None:
    """Print the best trial of a study, and the config values that train with its parameters."""
    from podium.hpo.study import find_study
    from podium.hpo.tables import best_facts, best_text

    facts = best_facts(find_study(existing_store(store), study))
    match output:
        case "text":
            typer.echo(best_text(facts))
        case "json":
            typer.echo(json.dumps(facts, indent=1))
        case "yaml":
            import yaml

            typer.echo(yaml.safe_dump(facts, sort_keys=False), nl=False)


@app.command()
def export(
    study: StudyName,
    form: Annotated[
        Literal["csv", "json", "parquet", "katib"], typer.Option("--format", help="How it is written.")
    ] = "csv",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write; standard output if left out.")
    ] = None,
    store: Store = DEFAULT_STORE,
) -> None:
    """Write all trials of a study as CSV, JSON or Parquet, or its search as a Katib Experiment."""
    from podium.hpo.study import find_study
    from podium.hpo.tables import export_study

    data = export_study(find_study(existing_store(store), study), form)
    if output is not None:
        output.write_bytes(data)
    elif form == "parquet" and sys.stdout.isatty():
        raise InputError("parquet is no text for a terminal; name a file with --output FILE")
    else:
        sys.stdout.buffer.write(data)


@app.command()
def importance(study: StudyName, store: Store = DEFAULT_STORE) -> None:
    """Say how much of the score's variation each parameter explains."""
    from podium.hpo.study import find_study
    from podium.hpo.suggest.optuna_samplers import importance as shares_of
    from podium.hpo.tables import importance_text

    found = find_study(existing_store(store), study)
    typer.echo(importance_text(found, shares_of(found.experiment, found.trials)))
