"""`podium profile`: where the time of a model goes, and what got slower between two profiles."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, Output, stopping
from podium.cli.results import EXIT_CODES
from podium.errors import InputError


class _ModelOrCommand(TyperGroup):
    """Takes anything that is no name of a command for a model."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, "--help"):
            args = ["model", *args]
        left: list[str] = super().parse_args(ctx, args)
        return left


app = typer.Typer(
    cls=_ModelOrCommand,
    no_args_is_help=True,
    help="Find out where the time of a model goes: `podium profile MODEL`, or compare two profiles.",
)


@app.command(name="model")
def profile(
    model: Annotated[
        str,
        typer.Argument(
            help="NAME@champion, RUN[:MODEL], a run of `podium infer`, a directory, URI, pkg:NAME/PATH or hub id; "
            "`synthetic` needs no files."
        ),
    ] = "",
    variant: Annotated[str, typer.Option(help="Deployable form; that in which it is deployed when left out.")] = "",
    tool: Annotated[
        list[str] | None, typer.Option(help="operators, nsys or ncu; repeatable. operators when left out.")
    ] = None,
    data: Annotated[str, typer.Option(help="Rows: a file, folder or URI.", metavar="PATH")] = "",
    dataset: Annotated[str, typer.Option(help="A shipped data set instead; by default one that fits the model.")] = "",
    text_column: Annotated[str, typer.Option(help="Column of the text; inferred when left out.")] = "",
    label_column: Annotated[str, typer.Option(help="Column of the label; inferred when left out.")] = "",
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Field of the config's profile section, as batch_size=8."),
    ] = None,
    output: Annotated[Literal["text", "json"], Output] = "text",
    store: Annotated[str, typer.Option(help="Store that keeps the results; profiles lie beside it.")] = DEFAULT_STORE,
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask for registered models.")] = DEFAULT_URI,
    force: Annotated[bool, typer.Option("--force", help="Profile again what is stored.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would run, and run nothing.")] = False,
    check: Annotated[bool, typer.Option("--check", help="Print what the tools need and what is missing here.")] = False,
) -> None:
    """Profile a model on this machine; an unchanged profile is reused."""
    settings = [f"device={device}", *([f"tools=[{','.join(tool)}]"] if tool else []), *(setting or ())]
    if check:
        _check(settings, output)
        return
    if not model:
        raise InputError("a model must be named to be profiled, as in `podium profile NAME@champion`; or give --check")
    from podium.local import profile as local

    command = local.ProfileCommand(
        model=model,
        variant=variant,
        settings=settings,
        data=data,
        dataset=dataset,
        text_column=text_column,
        label_column=label_column,
        store=store,
        tracking_uri=tracking_uri,
        force=force,
    )
    planned = local.plan_profile(command, Path.cwd())
    if dry_run:
        typer.echo(json.dumps(local.dry_run(planned), indent=1))
        return
    with stopping("stopped; nothing is stored of this profile"):
        record, reused = local.run_profile(planned)
    if output == "json":
        typer.echo(json.dumps(local.as_json(planned, record, reused), indent=1))
    else:
        typer.echo("\n".join(local.lines(planned, record, reused)))


@app.command()
def diff(
    before: Annotated[str, typer.Argument(help="A profile: its directory, name or key. The baseline.")],
    after: Annotated[str, typer.Argument(help="The profile that is compared with it.")],
    output: Annotated[Literal["text", "json"], Output] = "text",
    fail_if: Annotated[
        list[str] | None,
        typer.Option("--fail-if", metavar="EXPR", help='A regression, as "forward > 1.1 * baseline"; repeatable.'),
    ] = None,
    store: Annotated[str, typer.Option(help="Store to look in; profiles lie beside it.")] = DEFAULT_STORE,
) -> None:
    """Say what got slower or faster between two profiles, beyond noise.

    Exit code 3 when a --fail-if holds, 4 when one cannot be judged on what was measured.
    """
    from podium.local.profile import find_profile
    from podium.profiling.diff import diff_profiles
    from podium.report.profile import diff_text

    baseline, other = (find_profile(one, store, Path.cwd()) for one in (before, after))
    found = diff_profiles(baseline, other, fail_if or ())
    typer.echo(found.model_dump_json(indent=1) if output == "json" else diff_text(found).rstrip())
    raise typer.Exit(EXIT_CODES[found.verdict])


def _check(settings: list[str], output: str) -> None:
    from podium.local.profile import profile_config
    from podium.profiling.permissions import permission_table

    config = profile_config(settings, Path.cwd())
    rows: list[Any] = list(permission_table(config.nsys or "nsys", config.ncu or "ncu"))
    if output == "json":
        typer.echo(json.dumps([one.model_dump() for one in rows], indent=1))
        return
    for one in rows:
        typer.echo(
            f"{one.status:<9} {one.name}: {one.reason}" + (f"\n{'':<10}mend it: {one.remedy}" if one.remedy else "")
        )
