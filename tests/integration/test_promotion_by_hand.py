"""Moving a champion at a real MLflow server: by hand, and by processes that are killed on the way."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from podium.cli.app import app
from podium.config.schema import TrackingConfig
from podium.errors import InputError
from podium.tracking import Tracker, tracker_for
from podium.tracking.mlflow_tracker import MlflowTracker
from tests.support import PATIENCE_SECONDS
from tests.unit.tracking import conformance
from tests.unit.tracking.conformance import fresh, held
from tests.unit.tracking.support import Server, model_record

pytestmark = pytest.mark.integration
weights = conformance.weights

WRITES = ("set_registered_model_tag", "set_registered_model_alias", "delete_registered_model_alias")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def tracker(server: Server) -> Tracker:
    return tracker_for(TrackingConfig(uri=server.uri))


@pytest.fixture
def name(tracker: Tracker, weights: Path) -> str:
    """A registered model of three versions: 1 is the champion, 2 the challenger."""
    name = f"news-{uuid.uuid4().hex[:8]}"
    for _ in range(3):
        tracker.register(name, fresh()[:32], weights, model_record(fresh(), fresh()))
    tracker.move_champion(name, "1", how="decided", by="run", reason="the first", decision=fresh())
    tracker.set_challenger(name, "2")
    return name


def move_and_die(uri: str, name: str, writes: int) -> None:
    """Begin to move the champion to version 2, and be killed before the write after `writes` of them."""
    tracker = MlflowTracker(uri, "podium")
    client, made = tracker._connect(), 0

    def counted(write):
        def call(*arguments, **named):
            nonlocal made
            if made == writes:
                os.kill(os.getpid(), signal.SIGKILL)
            made += 1
            return write(*arguments, **named)

        return call

    for method in WRITES:
        setattr(client, method, counted(getattr(client, method)))
    tracker.move_champion(name, "2", how="forced", by="dying@host", reason="cut short")


@pytest.mark.parametrize("writes", range(6))
def test_a_mover_killed_between_any_two_requests_leaves_one_whole_champion(
    server: Server, tracker: Tracker, name: str, writes: int
) -> None:
    process = multiprocessing.get_context("fork").Process(target=move_and_die, args=(server.uri, name, writes))
    process.start()
    process.join(PATIENCE_SECONDS)
    assert process.exitcode == (-signal.SIGKILL if writes < 5 else 0)

    moved = writes >= 2
    incumbent = tracker.incumbent(name)
    assert incumbent is not None and incumbent.version == ("2" if moved else "1")
    # A look at the history makes up for what is missing after the move itself, and invents no move.
    assert [move.after for move in tracker.moves(name)] == (["1", "2"] if moved else ["1"])
    whole = {"champion": "2", "previous": "1"}
    assert held(tracker, name) == (whole if moved else {"champion": "1", "challenger": "2"})
    # The same move again ends in the same place from wherever it was cut short.
    tracker.move_champion(name, "2", how="forced", by="me@host", reason="again")
    assert held(tracker, name) == whole
    moves = tracker.moves(name)
    assert [(move.before, move.after) for move in moves] == [("", "1"), ("1", "2")]
    assert moves[1].by == ("dying@host" if moved else "me@host")


def test_the_next_mover_makes_up_for_one_that_was_killed(server: Server, tracker: Tracker, name: str) -> None:
    process = multiprocessing.get_context("fork").Process(target=move_and_die, args=(server.uri, name, 2))
    process.start()
    process.join(PATIENCE_SECONDS)
    tracker.move_champion(name, "3", how="decided", by="run", reason="better")
    assert held(tracker, name) == {"champion": "3", "previous": "2"}
    assert [(move.before, move.after) for move in tracker.moves(name)] == [("", "1"), ("1", "2"), ("2", "3")]


def podium(server: Server, *arguments: str) -> str:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [*arguments, "--tracking-uri", server.uri])
    if result.exception:
        raise result.exception
    return result.output


def test_promoting_and_rolling_back_by_hand_is_kept_with_who_and_why(server: Server, name: str) -> None:
    told = podium(server, "promote", name, "challenger", "--reason", "the review [ok]")
    assert told.startswith(f"the champion of {name} is version 2; before: version 1. Recorded for ")
    podium(server, "promote", name, "3", "--reason", "newer")
    podium(server, "rollback", name, "--reason", "too slow")
    podium(server, "rollback", name, "--reason", "wrong on names")
    found = json.loads(podium(server, "history", name, "-o", "json"))
    assert [(move["how"], move["before"], move["after"], move["reason"]) for move in found] == [
        ("decided", "", "1", "the first"),
        ("forced", "1", "2", "the review [ok]"),
        ("forced", "2", "3", "newer"),
        ("rollback", "3", "2", "too slow"),
        ("rollback", "2", "1", "wrong on names"),
    ]
    assert all("@" in move["by"] for move in found[1:])
    table = podium(server, "history", name).splitlines()
    assert len(table) == 6 and "the review [ok]" in table[2] and found[0]["decision"][:12] in table[1]
    with pytest.raises(InputError, match="earlier champion"):
        podium(server, "rollback", name, "--reason", "further")
    podium(server, "rollback", name, "--to", "3", "--reason", "it was right after all")
    assert json.loads(podium(server, "history", name, "-o", "json"))[-1]["after"] == "3"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["promote", "NAME", "9", "--reason", "x"], "'9' must be a version or an alias"),
        (["promote", "nobody", "1", "--reason", "x"], "must be a version or an alias of 'nobody'"),
        (["promote", "NAME", "1", "--reason", "x"], "is the champion already"),
        (["promote", "NAME", "2", "--reason", "  "], "1 to 1000 characters, but got 0"),
        (["rollback", "NAME", "--reason", "x"], "must have an earlier champion"),
    ],
)
def test_what_cannot_be_moved_is_told_and_nothing_is_written(
    server: Server, tracker: Tracker, name: str, arguments: list[str], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        podium(server, *(name if part == "NAME" else part for part in arguments))
    assert len(tracker.moves(name)) == 1
    assert held(tracker, name) == {"champion": "1", "challenger": "2"}
