"""`podium submit`: a run on Kubeflow Pipelines, planned, submitted once, and followed to its end."""

from __future__ import annotations

import contextlib
import io
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from podium.cli.options import Output, form_option, run_form, taking
from podium.config.form import RunForm
from podium.errors import ClusterError, InputError, PodiumError, StepFailed

if TYPE_CHECKING:
    from podium.cluster.kubeflow import Kubeflow
    from podium.pipelines.register import Registered
    from podium.stages.submission import Submission

Endpoint = Annotated[
    str,
    typer.Option(
        metavar="URL", help="API of Kubeflow Pipelines; else KF_PIPELINES_ENDPOINT, this pod's cluster or kubeconfig."
    ),
]
Namespace = Annotated[str, typer.Option(help="Your profile, in a Kubeflow of several users.")]
Experiment = Annotated[str, typer.Option(help="Experiment of Kubeflow Pipelines that runs belong to.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask for confirmation.")]

_DETACHED = "the run goes on; the same command joins it again, podium cancel {run} stops it"


@taking("form", run_form)
def _submission(
    form: RunForm,
    store: Annotated[str, form_option("run_store", "--store", metavar="URI")] = "",
    tracking_uri: Annotated[str, form_option("run_tracking_uri", "--tracking-uri", metavar="URI")] = "",
    image: Annotated[str, typer.Option(help="Image of all pods.")] = "",
    credentials: Annotated[str, typer.Option(metavar="SECRET", help="Secret with the credentials of pods.")] = "",
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="POOL.FIELD=VALUE", help="Where pods run, as train.device=nvidia.com/gpu; repeatable."),
    ] = None,
    read: Annotated[bool, typer.Option("--read/--no-read", help="Read the data here, to check and to plan.")] = True,
) -> Submission:
    """The options that say what is submitted."""
    from podium.stages.submission import Submission, pod_values

    form = replace(form, run_store=store, run_tracking_uri=tracking_uri)
    return Submission.of(form, pod_values(image, credentials, pool or ()), Path.cwd(), read=read)


submitting = taking("submission", _submission)
"""Gives a command, which takes a `submission`, the options that say what is submitted."""


@submitting
def submit(
    submission: Submission,
    endpoint: Endpoint = "",
    experiment: Experiment = "podium",
    namespace: Namespace = "",
    yes: Yes = False,
    detach: Annotated[bool, typer.Option("--detach", help="Do not wait until the run has ended.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the plan, and submit nothing.")] = False,
    output: Annotated[Literal["text", "json"], Output] = "text",
) -> None:
    """Take a labelled data set to a proven champion, on Kubeflow Pipelines; the same submission twice is one run."""
    from podium.cluster.kubeflow import Kubeflow
    from podium.local.kubeflow import facts_of, follow, results_of
    from podium.pipelines.register import compiled

    # Where standard output is for a machine, lines for people go to standard error.
    say = partial(typer.echo, err=output == "json")
    _, version = compiled()
    key = submission.key(version)
    server = Kubeflow(endpoint, namespace)
    found = server.experiment(experiment, create=False)
    run = _joined(server, found.experiment_id, key) if found and submission.config.run_mode != "force_new" else None
    show_plan(submission, server, f"{submission.name(version)} in experiment {experiment} at {server.endpoint}", say)
    if run is not None and run.state == "SUCCEEDED":
        results, now = results_of(run), submission.data_key()
        before = results.keys.get("prepare", "") if results else ""
        if before and now and before != now:
            say(f"the data has changed since run {run.run_id}; what is still valid is reused")
            run = None
        elif not (before and now):
            say("whether its data has changed since is not known here; if it has, add run_mode=force_new")
    if run is not None:
        say(f"the same submission is run {run.run_id} ({run.state or 'PENDING'}); it is joined")
    if dry_run:
        say("nothing was submitted")
        return
    if run is None:
        confirm("Submit this run?", yes)
        registered = register_pipeline(server, say)
        place = server.experiment(experiment, create=True)
        ids = registered.pipeline_id, registered.version_id
        run = server.create_run(submission.name(version), place.experiment_id, ids, submission.parameters)
        say(f"submitted run {run.run_id}")
    say(server.link("runs", run.run_id))
    try:
        for line in () if detach else follow(server, run.run_id):
            say(line)
    except KeyboardInterrupt:
        say(_DETACHED.format(run=run.run_id))
        raise typer.Exit(130) from None
    if detach:
        say(_DETACHED.format(run=run.run_id))
    run = server.client.get_run(run.run_id)
    if output == "json":
        typer.echo(json.dumps(facts_of(server, run), indent=1))
    _end(server, run, say)


def confirm(question: str, yes: bool) -> None:
    """Ask, unless the answer is yes already; without a terminal it must be."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise InputError("what is submitted must be confirmed, but there is no terminal to ask at; add --yes")
    typer.confirm(question, abort=True)


def _joined(server: Kubeflow, experiment_id: str, key: str) -> Any:
    """The newest run of a key that is at work or has succeeded; None where there is none."""
    left = ("FAILED", "CANCELED", "CANCELING", "SKIPPED")
    return next((run for run in server.runs(experiment_id, key[:12]) if run.state not in left), None)


def show_plan(submission: Submission, server: Kubeflow, heading: str, say: Callable[[str], None]) -> None:
    """Say what is submitted, where its pods run, what the nodes have, and what would be reused."""
    from podium.cluster.client import Cluster
    from podium.cluster.doctor import room_for
    from podium.hpo.tables import table
    from podium.text import redact

    for line in (heading, *submission.inferred):
        say(line)
    for name, value in submission.parameters.items():
        say(f"  {name} = {redact(value if isinstance(value, str) else json.dumps(value))}")
    say(table(submission.pools()))
    try:
        cluster = Cluster.connect(server.namespace or "kubeflow").once()
        lines = [f"{one.name}: {one.text}" for one in room_for(cluster, submission.placed())]
    except ClusterError as error:
        lines = [f"what the nodes have is not known here: {str(error).splitlines()[0]}"]
    for line in (*lines, *submission.reused()):
        say(f"  {line}")


def register_pipeline(server: Kubeflow, say: Callable[[str], None]) -> Registered:
    """Register the pipeline where this version of it is not known yet."""
    from podium.cluster.kubeflow import PIPELINE
    from podium.pipelines.register import register

    with contextlib.redirect_stdout(io.StringIO()):
        registered = register(server.client, PIPELINE, namespace=server.namespace)
    say(registered.line)
    return registered


def _end(server: Kubeflow, run: Any, say: Callable[[str], None]) -> None:
    """Say how a run ended, and with which verdict.

    Raises:
        StepFailed: a step failed.
    """
    from podium.local.kubeflow import Results, failure_of, state_of

    state = state_of(run)
    if state == "FAILED":
        failed, cause = failure_of(server, run)
        where = f" in {', '.join(failed)}" if failed else ""
        said = cause or (run.error.message if run.error else "")
        why = f": {said}" if said else ""
        step = f" {failed[0].split()[0]}" if failed else ""
        raise StepFailed(
            f"run {run.run_id} failed{where}{why}; see podium logs {run.run_id}{step}, "
            f"or {server.link('runs', run.run_id)}"
        )
    if state == "CANCELED":
        say(f"run {run.run_id} was canceled; the same command starts it anew")
        raise typer.Exit(130)
    if state == "SUCCEEDED":
        try:
            lines = Results.of(run).report().summary["lines"]
        except (PodiumError, OSError) as error:
            lines = {"Verdict": f"in the report, see {server.link('runs', run.run_id)}; {error}"}
        for name, text in lines.items():
            for number, line in enumerate(text.splitlines()):
                say(f"{name if number == 0 else '':<9}{line}")
        say(f"{'Files':<9}podium fetch {run.run_id}")
