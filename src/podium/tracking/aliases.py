"""Moving the alias `champion`, and the history of its moves.

MLflow sets one alias per request and offers no transaction over several. So the one request that sets `champion` is the
move; all others only describe it and can be repaired:

1. the move is recorded in a tag of the registered model: who, why, from which version to which, state `begun`;
2. `champion` is set, which a reader sees entirely or not at all;
3. `previous` is set, and a new champion is no longer `challenger`;
4. the tag becomes `done`.

A process that dies on the way leaves the old or the new champion in force. The next move, or the next look at the
history, sees from the alias which of the two it is, and completes the move or marks it `abandoned`.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from podium.records import How, Move, identity
from podium.tracking.base import CHALLENGER, CHAMPION, MOVE, PREVIOUS, TAG_MODEL_DIGEST, TAG_VARIANT
from podium.tracking.connection import Connection, or_none

_ALIVE = timedelta(minutes=10)
"""A move that began more recently may still be under way: only another move abandons it."""


class Aliases(Connection):
    """Aliases of registered models."""

    def move_champion(
        self, model_name: str, version: str, *, how: How, by: str, reason: str, decision: str = ""
    ) -> Move:
        self._settle(model_name, timedelta(0))
        aliases = self._aliases(model_name)
        before = aliases.get(CHAMPION, "")
        move = Move(
            how=how,
            before=before,
            before_model=self._identity(model_name, before) if before else "",
            after=version,
            after_model=self._identity(model_name, version),
            by=by,
            reason=reason,
            decision=decision,
        )
        if before == version:
            return move.model_copy(update={"state": "done"})
        tag = f"{MOVE}{move.at:%Y%m%dT%H%M%S.%f}.{uuid.uuid4().hex[:8]}"
        self._write_move(model_name, tag, move)
        self._set_alias(model_name, CHAMPION, version)
        return self._complete(model_name, tag, move)

    def set_challenger(self, model_name: str, version: str) -> None:
        self._set_alias(model_name, CHALLENGER, version)

    def moves(self, model_name: str) -> list[Move]:
        return [move for _, move in self._settle(model_name, _ALIVE) if move.state == "done"]

    def _settle(self, name: str, alive: timedelta) -> list[tuple[str, Move]]:
        """Complete or abandon every move that began longer than `alive` ago and did not end; returns all moves."""
        found = self._recorded_moves(name)
        champion = self._aliases(name).get(CHAMPION, "") if found else ""
        settled: list[tuple[str, Move]] = []
        follows = champion
        for tag, move in reversed(found):
            now = move
            if move.state == "begun" and follows == move.after:
                newest = not settled
                now = self._complete(name, tag, move) if newest else self._end_move(name, tag, move, "done")
            elif move.state == "begun" and datetime.now(UTC) - move.at > alive:
                now = self._end_move(name, tag, move, "abandoned")
            if now.state == "done":
                follows = now.before
            settled.append((tag, now))
        return settled[::-1]

    def _complete(self, name: str, tag: str, move: Move) -> Move:
        if move.before:
            self._set_alias(name, PREVIOUS, move.before)
        if self._aliases(name).get(CHALLENGER) == move.after:
            doing = f"taking the alias {CHALLENGER} from version {move.after} of {name}"
            self._call(doing, lambda client: client.delete_registered_model_alias(name, CHALLENGER))
        return self._end_move(name, tag, move, "done")

    def _end_move(self, name: str, tag: str, move: Move, state: Literal["done", "abandoned"]) -> Move:
        ended = move.model_copy(update={"state": state})
        self._write_move(name, tag, ended)
        return ended

    def _write_move(self, name: str, tag: str, move: Move) -> None:
        doing = f"recording a move of the champion of {name}"
        self._call(doing, lambda client: client.set_registered_model_tag(name, tag, move.model_dump_json()))

    def _recorded_moves(self, name: str) -> list[tuple[str, Move]]:
        model = self._model(name)
        tags = model.tags if model else {}
        return [(tag, Move.model_validate_json(tags[tag])) for tag in sorted(tags) if tag.startswith(MOVE)]

    def _aliases(self, name: str) -> dict[str, str]:
        model = self._model(name)
        return {alias: str(version) for alias, version in model.aliases.items()} if model else {}

    def _model(self, name: str) -> Any:
        return self._call(
            f"looking up the registered model {name}",
            lambda client: or_none(lambda: client.get_registered_model(name)),
        )

    def _set_alias(self, name: str, alias: str, version: str) -> None:
        doing = f"giving the alias {alias} to version {version} of {name}"
        self._call(doing, lambda client: client.set_registered_model_alias(name, alias, version))

    def _identity(self, name: str, version: str) -> str:
        found = self._call(
            f"looking up version {version} of {name}", lambda client: client.get_model_version(name, version)
        )
        digest = str(found.tags.get(TAG_MODEL_DIGEST, ""))
        return identity(digest, found.tags.get(TAG_VARIANT, "eager")) if digest else ""
