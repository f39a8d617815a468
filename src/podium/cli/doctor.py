"""`podium doctor`: whether a cluster has what a run needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Annotated, Literal

import typer

from podium.cli.options import ConfigFile, Output, Overrides, Preset
from podium.config.form import RunForm

ServiceAccount = Annotated[
    str, typer.Option(metavar="NAME", help="Look with the rights of this one; takes the right to impersonate it.")
]


def doctor(
    overrides: Overrides = None,
    preset: Preset = RunForm.run_preset,
    config_file: ConfigFile = "",
    service_account: ServiceAccount = "",
    leftovers: Annotated[bool, typer.Option("--leftovers", help="List what Podium left in the namespace.")] = False,
    pull: Annotated[
        bool, typer.Option("--pull", help="Start a pod for a moment, to see whether cluster.image can be pulled.")
    ] = False,
    output: Annotated[Literal["text", "json"], Output] = "text",
) -> None:
    """Say what a cluster lacks for a run with this config, and what mends it. Exit code 1 if so.

    Nothing is created but, with --pull, a pod that is deleted again.
    """
    from podium.cluster import doctor
    from podium.cluster.client import Cluster
    from podium.cluster.doctor_profiling import examine_profiling
    from podium.stages.prepare import resolve_form

    form = RunForm(run_preset=preset, run_config=config_file, run_overrides=tuple(overrides or ()))
    config = resolve_form(form, Path.cwd()).config
    cluster = Cluster.connect(config.cluster.namespace, service_account)
    if leftovers:
        found = doctor.leftovers(cluster)
        typer.echo(json.dumps(found) if output == "json" else "\n".join(found) or f"nothing in {cluster.namespace}")
        raise typer.Exit(1 if found else 0)
    findings = []
    tried = (doctor.pulled(cluster, config) for _ in range(pull))
    for finding in chain(doctor.examine(config, cluster), examine_profiling(config, cluster), tried):
        findings.append(finding)
        if output == "text":
            typer.echo(f"{finding.status:<8}{finding.name:<21} {finding.text}")
            if finding.remedy:
                typer.echo(f"{'':<8}{'':<22}-> {finding.remedy}")
    if output == "json":
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=1))
    raise typer.Exit(1 if any(finding.status == "failed" for finding in findings) else 0)
