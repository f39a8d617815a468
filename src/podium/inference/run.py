"""Runs an inference: what one directory holds, whether it may be continued, and how the rows are answered.

`podium-out/inference/RUN_ID/` holds `run.json` (what ran and how far it is), `journal.jsonl` (one line per answered
row), `predictions.FORMAT` (the columns of the data and the answers, written when all chosen rows are answered) and
`environment.json`. The key of a run covers the model, the prompt, the settings and the data, and not which rows are
chosen: choosing more rows later goes on where the run is.
"""

from __future__ import annotations

import json
import os
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, ClassVar

from podium.errors import InputError, ModelError, RunOutOfBudget
from podium.inference.backends.base import Outcome
from podium.inference.journal import FAILED, Entry, Journal
from podium.inference.rows import InputRow, RowSource, Survey, plain
from podium.inference.stored import ID_COLUMN, JOURNAL_FILE, OWN_PREFIX, PREDICTIONS_STEM, RUN_FILE
from podium.inference.writers import Writer
from podium.jsonfile import write_json
from podium.keys import Key, digest_file
from podium.store.explain import differences

WINDOW = 1024
"""Rows that are handed to a system together, which may order them; memory holds so many."""

_SHOWN = 5


class System(ABC):
    """What answers rows: a trained model, or a prompted one with its template and parser.

    Attributes:
        task: name of the task; None where the answers are free text.
        labels: what may be answered, in the order of probabilities; None where anything may.
        longest: tokens of which a longer input is cut to so many; None where that is not known, or nothing is cut.
        prompted: whether it has prompts, replies and reasoning.
    """

    task: str | None
    labels: tuple[str, ...] | None
    longest: int | None = None
    prompted: ClassVar[bool] = False

    @abstractmethod
    def identity(self) -> dict[str, Any]:
        """All that shapes the answers, as JSON-like values."""

    @abstractmethod
    def shown(self, row: InputRow) -> str:
        """What the model is given for a row, for people."""

    @abstractmethod
    def count_tokens(self, rows: Sequence[InputRow]) -> list[int | None]:
        """Tokens of the input for each row; None where they are not known."""

    @abstractmethod
    def answer(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        """Answer every row once, in any order, each as soon as it is known."""

    def enforced(self) -> dict[str, str]:
        """What of the form of answers is enforced, as a trial showed; empty where nothing is asked for."""
        return {}

    def close(self) -> None:
        """Give back what it holds."""
        return None


@dataclass
class Budget:
    """How many of a run's rows may come to nothing; None for any number.

    Attributes:
        errors: rows with an outcome in `FAILED`: the system failed on them.
        unanswered: rows that the model answered, but not validly: unparseable, refused, truncated or too long.
    """

    errors: int | None = 0
    unanswered: int | None = None
    found: Counter[str] = field(default_factory=Counter, init=False)

    def count(self, row: str, outcome: Outcome, error: str | None) -> None:
        """Take an outcome into account.

        Raises:
            RunOutOfBudget: there are too many of its sort.
        """
        if outcome == "ok":
            return
        sort, limit, option = ("errors", self.errors, "--max-errors")
        if outcome not in FAILED:
            sort, limit, option = ("unanswered", self.unanswered, "--max-unanswered")
        self.found[sort] += 1
        if limit is not None and self.found[sort] > limit:
            raise RunOutOfBudget(
                f"{option} allows {limit} {sort}, but there are {self.found[sort]}; the last one is {row} ({outcome}): "
                f"{error or 'no reason given'}. What is answered is kept: call the command again to go on, with a "
                f"larger {option}, or with --retry to ask the failed rows again"
            )


def budget_of(text: str, rows: int, option: str) -> int | None:
    """The number of rows that an option allows: a count, or a share such as `5%` or `0.05` of all rows; empty: any.

    Raises:
        InputError: it is neither.
    """
    if not text:
        return None
    try:
        if text.endswith("%"):
            share = float(text[:-1]) / 100
        elif text.isdigit():
            return int(text)
        else:
            share = float(text)
        if 0 <= share <= 1:
            return int(share * rows)
    except ValueError:
        pass
    raise InputError(f"{option} must be a count of rows such as 20, or a share such as 5% or 0.05, but got {text!r}")


@dataclass(frozen=True)
class Progress:
    """How far a run is, for whoever shows it.

    Attributes:
        done: chosen rows that have an entry, those of earlier calls included; `asked` without them.
        seconds: since this call began to ask.
    """

    done: int
    total: int
    asked: int
    seconds: float
    bad: int


class RunDirectory:
    """One run on disk.

    Args:
        key: of what shapes the answers.
        about: what else `run.json` says.

    Raises:
        InputError: the directory is that of another run; the message says what differs.
    """

    def __init__(self, folder: Path, run_id: str, key: Key, about: Mapping[str, Any]) -> None:
        self.path = folder / run_id
        self.id = run_id
        self._file = self.path / RUN_FILE
        before = self._read()
        if before is not None and before.get("key") != key.digest:
            lines = [f"{place}: {old} there, {new} now" for place, old, new in differences(before["parts"], key.parts)]
            shown = "\n  ".join(lines[:_SHOWN]) or "made by another version of Podium"
            raise InputError(
                f"a run is continued with the settings it began with, but those of {self.path} differ:\n  {shown}\n"
                "Choose another name with --run-id, or leave --run-id out"
            )
        if before is None and self.path.is_dir() and any(self.path.iterdir()):
            raise InputError(
                f"{self.path} must be the directory of a run, or new, but it holds other files; use --run-id"
            )
        earlier = before or {}
        self.outputs: dict[str, str] = dict(earlier.get("outputs", {}))
        self._values = {
            **earlier,
            **about,
            "id": run_id,
            "key": key.digest,
            "parts": key.parts,
            "began": earlier.get("began", time.time()),
        }

    def value(self, name: str) -> Any:
        """What `run.json` says of a name; None where it says nothing."""
        return self._values.get(name)

    def update(self, status: str, **values: Any) -> None:
        """Say how far the run is."""
        self._values |= {"status": status, "updated": time.time(), "outputs": self.outputs, **values}
        write_json(self._file, self._values)

    def journal(self) -> Journal:
        """Its journal, in the directory, which is made here."""
        self.path.mkdir(parents=True, exist_ok=True)
        return Journal(self.path / JOURNAL_FILE)

    def check_output(self, path: Path) -> None:
        """Refuse to replace a file that this run did not write.

        Raises:
            InputError: the file is another one.
        """
        if not path.parent.is_dir():
            raise InputError(f"--output must lie in a directory that exists, but {path.parent} does not")
        if path.exists() and (path.is_dir() or self.outputs.get(str(path.resolve())) != digest_file(path)):
            raise InputError(
                f"an existing file is never replaced by another run's predictions, but {path} is not what this run "
                "wrote; move it away, or give another --output"
            )

    def write_predictions(
        self, rows: Callable[[], Iterator[dict[str, Any]]], writer: Writer, path: Path | None
    ) -> Path:
        """Write the predictions into the directory, and a copy to `path`; files of other formats there are removed."""
        own = self.path / f"{PREDICTIONS_STEM}{writer.extensions[0]}"
        columns = tuple(next(rows()))
        for place in (own, *([path] if path is not None else [])):
            for left in place.parent.glob(f".{place.name}.*.partial"):  # by a call that was killed
                left.unlink(missing_ok=True)
            partial = place.with_name(f".{place.name}.{os.getpid()}.partial")
            try:
                with partial.open("wb") as stream:
                    writer.write(rows, columns, stream)
                    stream.flush()
                    os.fsync(stream.fileno())
                self.outputs[str(place.resolve())] = digest_file(partial)
                self.update("writing")
                partial.replace(place)
            finally:
                partial.unlink(missing_ok=True)
        for other in self.path.glob(f"{PREDICTIONS_STEM}.*"):
            if other != own:
                other.unlink()
        return own

    def _read(self) -> dict[str, Any] | None:
        try:
            found = json.loads(self._file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise InputError(f"{self._file} must be what `podium infer` wrote, but cannot be read: {error}") from error
        return found if isinstance(found, dict) else None


def answer_rows(
    system: System,
    source: RowSource,
    survey: Survey,
    journal: Journal,
    budget: Budget,
    retry: bool,
    report: Callable[[Progress], None],
    show: Callable[[InputRow, Entry], None] = lambda row, entry: None,
) -> int:
    """Answer every chosen row that has no final entry yet; returns how many were asked.

    A row that failed in a way that may pass is always asked again; one that failed for good only with `retry`.

    Raises:
        RunOutOfBudget: too many rows came to nothing.
    """

    def kept(outcome: Outcome | None) -> bool:
        return outcome == "ok" or (outcome not in (None, "transient") and not retry)

    if journal.outcomes.total() > journal.outcomes["ok"]:
        for row in source.chosen(survey):
            outcome = journal.outcome(row.id)
            if outcome not in (None, "ok") and kept(outcome):
                budget.count(row.id, outcome, journal.get(row.id).error)
    began, asked, done, bad = time.monotonic(), 0, 0, 0

    def missing() -> Iterator[InputRow]:
        nonlocal done, bad
        for row in source.chosen(survey):
            outcome = journal.outcome(row.id)
            if kept(outcome):
                done, bad = done + 1, bad + (outcome != "ok")
            else:
                yield row

    rows = missing()
    # The first one is asked alone, so that its answer is seen before the others are waited for.
    while window := list(islice(rows, WINDOW if asked else 1)):
        able = [row for row in window if row.problem is None]
        unable = [Entry(id=row.id, outcome="permanent", error=row.problem) for row in window if row.problem is not None]
        with closing(system.answer(able)) as answers:
            for entry in chain(unable, answers):
                journal.add([entry])
                if not asked:
                    show(window[0], entry)
                asked, done, bad = asked + 1, done + 1, bad + (entry.outcome != "ok")
                budget.count(entry.id, entry.outcome, entry.error)
                report(Progress(done, survey.count, asked, time.monotonic() - began, bad))
    if not asked:
        report(Progress(done, survey.count, 0, time.monotonic() - began, bad))
    journal.flush()
    return asked


def joined(
    source: RowSource, survey: Survey, journal: Journal, system: System
) -> Callable[[], Iterator[dict[str, Any]]]:
    """The chosen rows with their answers, from the beginning each time it is called: columns of the data, then own."""
    names = [name for name in source.reader.columns() if not name.startswith(OWN_PREFIX)]
    labels = system.labels

    def rows() -> Iterator[dict[str, Any]]:
        for row in source.chosen(survey):
            entry = journal.get(row.id)
            values = {name: plain(row.values.get(name)) for name in names}
            probabilities = entry.probabilities
            own = {
                "outcome": entry.outcome,
                "answer": entry.answer,
                "probabilities": None
                if probabilities is None or labels is None
                else dict(zip(labels, probabilities, strict=True)),
                **({"reasoning": entry.reasoning, "text": entry.text} if system.prompted else {}),
                "error": entry.error,
            }
            yield {**values, ID_COLUMN: row.id, **{f"{OWN_PREFIX}{name}": value for name, value in own.items()}}

    return rows


def totals(journal: Journal, source: RowSource, survey: Survey, system: System) -> dict[str, Any]:
    """Figures of the chosen rows: outcomes, tokens, seconds of computing, rows that reach the longest input."""
    outcomes: Counter[str] = Counter()
    tokens, output, seconds, cut, attempts = 0, 0, 0.0, 0, 0
    for row in source.chosen(survey):
        entry = journal.get(row.id)
        outcomes[entry.outcome] += 1
        tokens += entry.prompt_tokens or 0
        output += entry.output_tokens or 0
        seconds += entry.seconds or 0.0
        attempts += entry.attempts
        cut += system.longest is not None and (entry.prompt_tokens or 0) >= system.longest
    return {
        "rows": survey.count,
        "outcomes": dict(sorted(outcomes.items(), key=lambda one: (-one[1], one[0]))),
        "prompt_tokens": tokens,
        "output_tokens": output,
        "seconds": round(seconds, 3),
        "attempts": attempts,
        **({"longest_input_tokens": system.longest, "rows_at_longest_input": cut} if system.longest else {}),
    }


def refuse_unable(survey: Survey, budget: Budget) -> None:
    """Refuse data with more rows that cannot be asked than the budget allows, before any row is.

    Raises:
        ModelError: there are too many.
    """
    if budget.errors is not None and survey.bad > budget.errors:
        shown = "\n".join(f"  {row}: {reason}" for row, reason in islice(survey.problems.items(), _SHOWN))
        more = f"\n  and {survey.bad - _SHOWN} more" if survey.bad > _SHOWN else ""
        raise ModelError(
            f"every chosen row must have what the model reads, but {survey.bad} of {survey.count} do not:\n{shown}"
            f"{more}\nCorrect them, leave them out with --where, or record them as errors with --max-errors"
            f" {survey.bad}"
        )
