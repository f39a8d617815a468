"""`podium infer`: predicts new rows with any model."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from podium.cli.options import DEFAULT_STORE, DEFAULT_URI, stopping
from podium.errors import InputError

if TYPE_CHECKING:
    from podium.inference.rows import Choice

LIST = "list"
"""What is written in place of a model to see what there is."""


def _asked(text: str, *names: str, **settings: Any) -> Any:
    """An option for models that are asked with prompts."""
    return typer.Option(*names, help=text, rich_help_panel="Models that are asked with prompts", **settings)


def infer(
    model: Annotated[
        str,
        typer.Argument(
            help="NAME@champion, NAME/VERSION, a run or RUN:ENTRANT, a model directory, URI or hub id; or `list` to "
            "see what there is."
        ),
    ],
    data: Annotated[str, typer.Option(help="Rows: a file, folder, URI or shipped data set.", metavar="PATH")] = "",
    rows: Annotated[
        int | None, typer.Option("--rows", "--first", metavar="N", help="The first N rows; 0 for all. A first try: 5.")
    ] = None,
    all_rows: Annotated[bool, typer.Option("--all", help="All rows.")] = False,
    random: Annotated[int | None, typer.Option(metavar="N", help="N rows at random.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the random choice.")] = 0,
    ids: Annotated[str, typer.Option(metavar="ID,ID", help="The rows with these ids.")] = "",
    ids_file: Annotated[Path | None, typer.Option(help="The rows whose ids the file has, one per line.")] = None,
    where: Annotated[
        str, typer.Option(metavar="SQL", help='Rows for which an SQL expression holds: "stars > 3".')
    ] = "",
    text_column: Annotated[str, typer.Option(help="Column that the model reads; inferred when left out.")] = "",
    label_column: Annotated[str, typer.Option(help="Column with the right answers, where there is one.")] = "",
    id_column: Annotated[str | None, typer.Option(help="Column that names the rows; inferred when left out.")] = None,
    split: Annotated[str, typer.Option(help="train, validation or test, of data that has them.")] = "",
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="How data is read: format, encoding, query, ...; repeatable."),
    ] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File that gets the predictions, too.")] = None,
    form: Annotated[str, typer.Option("--format", help="jsonl, csv, parquet, json, yaml; by the file's name.")] = "",
    run_id: Annotated[str, typer.Option(help="Name of the run; made of model, data and settings when left out.")] = "",
    max_errors: Annotated[str, typer.Option(metavar="N|SHARE", help="Rows that may fail before the run stops.")] = "0",
    max_unanswered: Annotated[
        str, typer.Option(metavar="N|SHARE", help="Rows that the model may leave without a valid answer; no limit.")
    ] = "",
    retry: Annotated[bool, typer.Option("--retry", help="Ask rows without a valid answer again.")] = False,
    backend: Annotated[str, _asked("What asks MODEL with prompts: local, openai, ...")] = "",
    backend_setting: Annotated[
        list[str] | None, _asked("Setting of it; repeatable.", "--backend-set", metavar="NAME=VALUE")
    ] = None,
    template: Annotated[str, _asked("Prompt: a name or a YAML file.")] = "classify",
    strategy: Annotated[str, _asked("One of the template's strategies; its first.")] = "",
    labels: Annotated[
        str,
        _asked("What may be answered, or a YAML file with what each means; those of the label column.", metavar="A,B"),
    ] = "",
    task: Annotated[str, _asked("Task of the answers; free text without labels.")] = "",
    mode: Annotated[str, _asked("decide between labels, generate text, or auto.")] = "auto",
    parser: Annotated[str, _asked("How replies are read: label, json, spans, text.")] = "",
    examples: Annotated[str, _asked("Answered rows that the prompt shows.", metavar="PATH")] = "",
    max_new_tokens: Annotated[int, _asked("Tokens of an answer.", min=1)] = 100,
    temperature: Annotated[float, _asked("Temperature of the sampling.", min=0)] = 0.0,
    price: Annotated[str, _asked("Price per million tokens, where it has one.", metavar="IN,OUT")] = "",
    write_batch: Annotated[Path | None, _asked("Write requests for OpenAI's batch interface.", metavar="FILE")] = None,
    read_batch: Annotated[str, _asked("Take the answers from its results.", metavar="FILE")] = "",
    agree: Annotated[str, _asked("Ask this backend as well, and compare the answers.", metavar="BACKEND[:MODEL]")] = "",
    check: Annotated[bool, _asked("Ask the backend what it can, and predict nothing.", "--check")] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Rows that a local model computes together.")] = 32,
    trust_remote_code: Annotated[bool, typer.Option("--trust-remote-code", help="Run code of the model.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show inputs, tokens, time and price; predict nothing.")
    ] = False,
    folder: Annotated[Path, typer.Option(help="Folder of the run directories.")] = Path("podium-out/inference"),
    store: Annotated[str, typer.Option(help="Store to look for models in; runs lie beside it.")] = DEFAULT_STORE,
    tracking_uri: Annotated[str, typer.Option(help="MLflow to ask for registered models.")] = DEFAULT_URI,
) -> None:
    """Predict new rows; the same command goes on where it was stopped, and repeats and loses none."""
    from rich.console import Console

    from podium.execution.environment import SLEEPING
    from podium.local.inference import InferCommand
    from podium.local.inference import dry_run as show
    from podium.local.inference import infer as predict
    from podium.local.inference_backends import check_backend, compare_backends, write_requests
    from podium.local.inference_data import DataCommand
    from podium.local.inference_prompt import PromptCommand, parse_price, read_labels
    from podium.local.inference_system import SystemCommand

    if model == LIST:
        from podium.local.inference_list import listing

        typer.echo(listing(store, tracking_uri, folder))
        return

    os.environ.update(SLEEPING | os.environ)
    named, descriptions = read_labels(labels)

    def prompted(name: str, asked: str) -> PromptCommand:
        return PromptCommand(
            name,
            asked,
            template,
            strategy,
            named,
            task,
            parser,
            mode,
            tuple(backend_setting or ()) if name == backend else (),
            examples,
            max_new_tokens,
            temperature,
            seed,
            parse_price(price),
            device,
            batch_size,
            trust_remote_code,
            write_batch is not None or bool(read_batch),
            read_batch,
            descriptions,
        )

    system: SystemCommand | PromptCommand = SystemCommand(
        model, store, tracking_uri, device, batch_size, trust_remote_code
    )
    if backend:
        system = prompted(backend, model)
    if check:
        raise typer.Exit(check_backend(system, Console(file=sys.stdout)))
    if not data:
        raise InputError("--data must name the rows to predict: a file, a folder, a URI or a shipped data set")
    command = InferCommand(
        system=system,
        data=DataCommand(data, text_column, label_column, id_column, split, tuple(setting or ())),
        choice=_choice(rows, all_rows, random, seed, ids, ids_file, where),
        output=output,
        form=form,
        run_id=run_id,
        max_errors=max_errors,
        max_unanswered=max_unanswered,
        retry=retry,
        folder=folder,
    )
    console = Console(file=sys.stdout)
    if write_batch is not None:
        write_requests(command, write_batch, Path.cwd(), console)
        return
    if dry_run:
        show(command, Path.cwd(), console)
        return
    called = shlex.join(["podium", *sys.argv[1:]])
    with stopping("stopped; run the same command again to go on"):
        if agree:
            name, _, other = agree.partition(":")
            compare_backends(command, prompted(name, other or model), Path.cwd(), console, called)
        else:
            predict(command, Path.cwd(), console, called)


def _choice(
    rows: int | None, everything: bool, random: int | None, seed: int, ids: str, ids_file: Path | None, where: str
) -> Choice | None:
    """The rows that the options choose; None where there is no such option."""
    from podium.inference.rows import Choice

    for option, number in (("--rows", rows), ("--random", random)):
        if number is not None and number < 0:
            raise InputError(f"{option} >= 0 must hold, but got {number}")
    if everything and rows:
        raise InputError(f"--all and --rows exclude each other, but got both, --rows {rows}")
    named = [one.strip() for one in ids.split(",") if one.strip()]
    if ids_file is not None:
        try:
            named += [line.strip() for line in ids_file.read_text(encoding="utf-8").splitlines() if line.strip()]
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"--ids-file must be a text file with one id per line, but: {error}") from error
    if not (everything or rows is not None or random or named or where):
        return None
    return Choice(rows or None, random or None, seed, tuple(named) if ids or ids_file else None, where)
