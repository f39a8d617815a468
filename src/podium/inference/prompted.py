"""A prompted model as the system that answers rows: template, strategy, backend and parser."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from podium.errors import ConfigError, InputError
from podium.inference.backends.base import Backend, Message, Reply, Request
from podium.inference.backends.check import schema_enforcement
from podium.inference.backends.openai_batch import REQUESTS_TEMPLATE, BatchFiles, batch_fields
from podium.inference.journal import Entry
from podium.inference.parsers import PARSERS, Parser
from podium.inference.prompts import Example, Template, render
from podium.inference.rows import InputRow
from podium.inference.run import System
from podium.tasks import TASKS

Mode = Literal["auto", "decide", "generate"]


@dataclass(frozen=True)
class Prompting:
    """How a model is asked.

    Attributes:
        template, strategy: what the prompt says.
        labels: what may be answered; empty where anything may.
        task: name of the task; None where the answers are free.
        parser: name of the parser; empty for the one that suits task and strategy.
        mode: `decide` between the labels, `generate` text, or `auto`: decide where the answer is one label and no JSON.
        examples: rows with their answers.
        descriptions: what labels mean, by label.
        content: column that the template sees as `text`, whatever its name; None for none.
    """

    template: Template
    strategy: str
    labels: tuple[str, ...] = ()
    task: str | None = None
    parser: str = ""
    mode: Mode = "auto"
    examples: tuple[Example, ...] = ()
    content: str | None = None
    descriptions: Mapping[str, str] = field(default_factory=dict)
    max_new_tokens: int = 100
    temperature: float = 0.0
    seed: int = 0


class PromptedModel(System):
    """A backend that is asked with prompts.

    Raises:
        InputError: the settings contradict each other.
    """

    prompted: ClassVar[bool] = True

    def __init__(self, backend: Backend, prompting: Prompting) -> None:
        self.backend = backend
        self._how = prompting
        self.task = prompting.task
        self.labels = prompting.labels or None
        task = TASKS.get(prompting.task) if prompting.task is not None else None
        self._names = task.kinds_of(prompting.labels) if task is not None else prompting.labels
        self._schema = prompting.template.answer_schema(prompting.strategy, self._names)
        self._single = task is not None and task.decoding == "single"
        asked = prompting.mode == "decide" or (prompting.mode == "auto" and self._schema is None)
        self._options = prompting.labels if self._single and asked else ()
        if prompting.mode == "decide":
            if not self._options:
                raise InputError("mode=decide needs a task with one label per row, and its labels; give --labels A,B")
            if not backend.decides:
                raise InputError(
                    f"mode=decide needs a backend that gives probabilities, but {backend.name} does not here; "
                    "`podium infer --check` says what it can"
                )
        self.parser: Parser = PARSERS.get(prompting.parser or _suiting(prompting, self._schema))

    @property
    def decides(self) -> bool:
        """Whether answers are decided, with probabilities, rather than generated."""
        return bool(self._options) and self.backend.decides

    def identity(self) -> dict[str, Any]:
        how = self._how
        return {
            **self.backend.identity(),
            "template": {"name": how.template.name, "version": how.template.version, "digest": how.template.digest},
            "strategy": how.strategy,
            "task": how.task,
            "labels": list(how.labels),
            "descriptions": dict(how.descriptions),
            "decides": self.decides,
            "parser": {"name": self.parser.name, "version": self.parser.version},
            "generation": {
                "max_new_tokens": how.max_new_tokens,
                "temperature": how.temperature,
                "seed": how.seed,
            },
            "examples": [[dict(one.row), one.answer] for one in how.examples],
        }

    def shown(self, row: InputRow) -> str:
        return "\n".join(f"[{message.role}] {message.content}" for message in self.messages(row))

    def messages(self, row: InputRow) -> tuple[Message, ...]:
        """The prompt for a row.

        Raises:
            ConfigError: the template names a column that the row lacks.
        """
        how = self._how
        if how.template.name == REQUESTS_TEMPLATE:
            messages: tuple[Message, ...] = self._given(row)["messages"]
            return messages
        return render(
            how.template, how.strategy, self._variables(row.values), self._names, how.examples, None, how.descriptions
        )

    def count_tokens(self, rows: Sequence[InputRow]) -> list[int | None]:
        return [self.backend.count_tokens(self.messages(row)) for row in rows]

    def request(self, row: InputRow) -> Request:
        """What is asked for a row; errors as for `messages`."""
        how = self._how
        settings: dict[str, Any] = {
            "max_new_tokens": how.max_new_tokens,
            "temperature": how.temperature,
            "seed": how.seed,
        }
        if how.template.name == REQUESTS_TEMPLATE:
            return Request(id=row.id, **{**settings, **self._given(row)})
        return Request(id=row.id, messages=self.messages(row), options=self._options, schema=self._schema, **settings)

    def answer(self, rows: Sequence[InputRow]) -> Generator[Entry]:
        """Long prompts first, so that those of a batch are of like length."""
        requests: list[Request] = []
        for row in rows:
            try:
                requests.append(self.request(row))
            except ConfigError as error:
                yield Entry(id=row.id, outcome="permanent", error=str(error))
        requests.sort(key=lambda one: -sum(len(message.content) for message in one.messages))
        contents = {row.id: row.content for row in rows}
        replies = self.backend.answer(requests)
        try:
            for row_id, reply in replies:
                yield self.entry(row_id, reply, contents[row_id])
        finally:
            close = getattr(replies, "close", None)
            if close is not None:
                close()

    def enforced(self) -> dict[str, str]:
        """What the backend does with the schema that is sent, found by asking it; empty where none is sent."""
        if self._schema is None:
            return {}
        in_file = isinstance(self.backend, BatchFiles)
        return {"schema": "not tried: the answers come from a file" if in_file else schema_enforcement(self.backend)}

    def entry(self, row_id: str, reply: Reply, content: Any) -> Entry:
        """What a reply means for its row."""
        outcome, error, parsed = reply.outcome, reply.error, None
        if outcome == "ok":
            text = reply.text or ""
            parsed = self.parser.parse(text, self._how.labels, content)
            if parsed is None or (self._single and isinstance(parsed.answer, list)):
                parsed = None
                outcome, error = "unparseable", f"the parser {self.parser.name} finds no valid answer in the reply"
        reasons = [one for one in (reply.reasoning, parsed.rationale if parsed else None) if one]
        return Entry(
            id=row_id,
            outcome=outcome,
            answer=parsed.answer if parsed else None,
            probabilities=reply.probabilities if parsed else None,
            reasoning="\n".join(reasons) or None,
            text=reply.text,
            prompt_tokens=reply.prompt_tokens,
            output_tokens=reply.output_tokens,
            seconds=reply.seconds,
            attempts=reply.attempts,
            error=error,
        )

    def close(self) -> None:
        self.backend.close()

    def _given(self, row: InputRow) -> dict[str, Any]:
        """What a row that is a request itself asks for."""
        try:
            return batch_fields(row.values)
        except ValueError as error:
            raise ConfigError(f"template {REQUESTS_TEMPLATE}: {error}") from error

    def _variables(self, values: Mapping[str, Any]) -> Mapping[str, Any]:
        content = self._how.content
        if content is None or content not in values:
            return values
        held = values[content]
        return {**values, "text": " ".join(map(str, held)) if isinstance(held, list) else held}


def _suiting(how: Prompting, schema: Mapping[str, Any] | None) -> str:
    """Name of the parser for a task and the form of its answers."""
    if how.task is not None and TASKS.get(how.task).words:
        return "spans"
    if schema is not None:
        return "json"
    return "label" if how.labels else "text"
