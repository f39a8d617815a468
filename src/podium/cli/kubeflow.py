"""Commands for the runs that are on Kubeflow Pipelines: runs, logs, cancel, fetch, schedule."""

from __future__ import annotations

import json
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from podium.cli.options import Output
from podium.cli.submit import Endpoint, Experiment, Namespace, Yes, confirm, register_pipeline, show_plan, submitting
from podium.errors import InputError

if TYPE_CHECKING:
    from podium.stages.submission import Submission

schedule = typer.Typer(help="Start runs again and again on Kubeflow Pipelines.", no_args_is_help=True)

Run = Annotated[str, typer.Argument(metavar="RUN", help="Id of a run, its first digits, or `latest`.")]


def runs(
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    experiment: Annotated[str, typer.Option(help="Of this experiment only.")] = "",
    limit: Annotated[int, typer.Option(min=1, help="How many, the newest first.")] = 20,
    output: Annotated[Literal["text", "json"], Output] = "text",
) -> None:
    """List the runs on Kubeflow Pipelines."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.hpo.tables import span, table
    from podium.local.kubeflow import age, ended, facts_of

    server = Kubeflow(endpoint, namespace)
    found = server.experiment(experiment, create=False) if experiment else None
    if experiment and found is None:
        raise InputError(f"{server.endpoint} has no experiment {experiment!r}; podium submit makes it")
    listed = list(islice(server.runs(found.experiment_id if found else None), limit))
    facts = [facts_of(server, run) for run in listed]
    if output == "json":
        typer.echo(json.dumps(facts, indent=1))
        return
    rows = [["run", "state", "age", "took", "key", "verdict", "name"]]
    for run, fact in zip(listed, facts, strict=True):
        took = span(age(run.created_at, ended(run)))
        cells = [fact["run_id"][:8], fact["state"], span(age(run.created_at)), took]
        rows.append([*cells, fact["key"] or "-", fact["verdict"] or "-", fact["name"]])
    typer.echo(table(rows) if listed else "no runs")


def logs(
    run: Run,
    step: Annotated[str, typer.Argument(help="A step of the pipeline; all when left out.")] = "",
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the pods end.")] = False,
) -> None:
    """Show the logs of a run's pods, as long as Kubernetes has the pods; Podium keeps none on a cluster."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.local.pods import logs as lines_of

    server = Kubeflow(endpoint, namespace)
    try:
        for line in lines_of(server, server.run(run), step, wait=follow):
            typer.echo(line)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


def cancel(
    run: Run,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
    timeout: Annotated[float, typer.Option(min=0, metavar="SECONDS", help="How long to wait for the end.")] = 300.0,
) -> None:
    """Stop a run, and return when it and its pods, Jobs and Experiments have ended."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.local.kubeflow import cancel as stop

    server = Kubeflow(endpoint, namespace)
    for line in stop(server, server.run(run).run_id, timeout):
        typer.echo(line)


def fetch(
    run: Run,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="Folder; podium-out/kubeflow/ID by default.")] = None,
    endpoint: Endpoint = "",
    namespace: Namespace = "",
) -> None:
    """Bring the report and the winner's model of a run here, from its store."""
    from podium.cluster.kubeflow import FINAL, Kubeflow
    from podium.local.kubeflow import Results

    server = Kubeflow(endpoint, namespace)
    found = server.run(run)
    if found.state != "SUCCEEDED":
        wait = "" if found.state in FINAL else "; wait for it"
        raise InputError(f"a run has results when it has succeeded, but {found.run_id} is {found.state}{wait}")
    results = Results.of(found)
    for name, place in results.fetch(to or Path("podium-out", "kubeflow", found.run_id)).items():
        typer.echo(f"{name:<9}{place}")
    typer.echo(f"{'Verdict':<9}{results.verdict}")


@schedule.command("create")
@submitting
def create_schedule(
    submission: Submission,
    name: Annotated[str, typer.Argument(help="Name of the schedule; one of that name is replaced.")],
    cron: Annotated[str, typer.Option(help="When, in five fields as of cron, or six with seconds first; in UTC.")] = "",
    every: Annotated[str, typer.Option(metavar="TIME", help="Or how often, such as 1d or 12h.")] = "",
    endpoint: Endpoint = "",
    experiment: Experiment = "podium",
    namespace: Namespace = "",
    yes: Yes = False,
) -> None:
    """Create a schedule, or replace it; a run that is in flight goes on. Results are reused where nothing changed."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.config.plan import seconds_of

    if bool(cron) == bool(every):
        raise InputError(f"a schedule has either --cron or --every, but got {cron!r} and {every!r}")
    fields = cron.split()
    if cron and len(fields) not in (5, 6):
        raise InputError(f"--cron has five fields, or six with seconds first, but got {cron!r}")
    try:
        seconds = int(seconds_of(every)) if every else None
    except ValueError as error:
        raise InputError(f"--every: {error}") from None
    when = {"cron_expression": " ".join(["0"] * (6 - len(fields)) + fields)} if cron else {"interval_second": seconds}
    server = Kubeflow(endpoint, namespace)
    show_plan(submission, server, f"schedule {name} in experiment {experiment} at {server.endpoint}", typer.echo)
    confirm("Create this schedule?", yes)
    before = [one for one in server.schedules() if one.display_name == name]
    registered = register_pipeline(server, typer.echo)
    made = server.client.create_recurring_run(
        server.experiment(experiment, create=True).experiment_id,
        name,
        description="Made by podium schedule",
        no_catchup=True,
        params=submission.parameters,
        pipeline_id=registered.pipeline_id,
        version_id=registered.version_id,
        **when,
    )
    for one in before:
        server.remove_schedule(one.recurring_run_id)
    replaced = "; it replaces the one before, whose run in flight goes on" if before else ""
    typer.echo(f"schedule {name} is {made.recurring_run_id}{replaced}")
    typer.echo(server.link("recurringrun", made.recurring_run_id))


@schedule.command("list")
def list_schedules(endpoint: Endpoint = "", namespace: Namespace = "") -> None:
    """List the schedules."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.hpo.tables import span, table

    rows = [["schedule", "when", "status", "id"]]
    for one in Kubeflow(endpoint, namespace).schedules():
        cron = one.trigger.cron_schedule if one.trigger else None
        periodic = one.trigger.periodic_schedule if one.trigger else None
        when = cron.cron if cron else f"every {span(float(periodic.interval_second))}" if periodic else "-"
        rows.append([one.display_name, when, str(one.status), one.recurring_run_id])
    typer.echo(table(rows) if len(rows) > 1 else "no schedules")


@schedule.command("remove")
def remove_schedule(
    name: Annotated[str, typer.Argument(help="Name or id of the schedule.")],
    endpoint: Endpoint = "",
    namespace: Namespace = "",
) -> None:
    """Remove a schedule; a run that is in flight goes on."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.text import hint

    server = Kubeflow(endpoint, namespace)
    known = server.schedules()
    found = [one for one in known if name in (one.display_name, one.recurring_run_id)]
    if not found:
        raise InputError(f"there is no schedule {name!r}{hint(name, [one.display_name for one in known])}")
    for one in found:
        server.remove_schedule(one.recurring_run_id)
        typer.echo(f"schedule {one.display_name} ({one.recurring_run_id}) is removed; a run in flight goes on")
