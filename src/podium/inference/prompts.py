"""Prompt templates: versioned YAML files, whose texts are Jinja templates that run in a sandbox."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, Any, Literal, NamedTuple

import jinja2
from pydantic import Field, ValidationError

from podium.errors import ConfigError
from podium.inference.backends.base import Message
from podium.models.prompted.chat import template_environment
from podium.plugins import Registry
from podium.records.base import Frozen
from podium.strict_yaml import Yaml12, read_yaml
from podium.text import did_you_mean

TEMPLATES: Registry[Path] = Registry(
    "podium.templates",
    "template",
    {
        "classify": "podium.inference.templates:CLASSIFY",
        "requests": "podium.inference.templates:REQUESTS",
        "classify-each": "podium.inference.templates:CLASSIFY_EACH",
        "entities": "podium.inference.templates:ENTITIES",
    },
)
"""The files of templates by name. Another package adds its own by an entry point of the group `podium.templates`, whose
value is the path of a YAML file."""

Part = Literal["system", "user", "example"]


class Example(NamedTuple):
    """A row whose answer is known, by column, and the answer as the template's `example` sees it."""

    row: Mapping[str, Any]
    answer: Any


class Strategy(Frozen):
    """One way to ask with a template; what it gives replaces what the template gives.

    Attributes:
        examples: how many examples it shows where nothing else says so; 0 for a strategy without examples.
    """

    system: str | None = None
    user: str | None = None
    example: str | None = None
    answer: dict[str, Any] | None = None
    examples: Annotated[int, Field(ge=0)] = 0


class Template(Frozen):
    """What a model is asked for a row.

    Its texts see every column of the row as a variable and all of them as `row`; `labels`, for words the types of
    entities; `descriptions`, what labels mean, by label, as far as it is known; `asked`, the label that is asked for
    where each is asked for alone; and in `example` the `answer` of an example, for words the list of its entities.
    These names go before columns of the same name, which `row` still has.
    The filter `json` writes a value as JSON.

    Attributes:
        name: what configs call it.
        version: raised by its author whenever its texts change.
        tasks: names of the tasks that it suits; any where it is empty.
        system: the system message; none where it is empty.
        user: the message for a row.
        example: what the model answered for an example, whose row is asked for by `user`.
        answer: JSON schema of a generated answer, where it is JSON. `enum: labels` in it means the labels of the data.
        strategies: by name.
        file: where it was read.
        digest: of the bytes of the file, its identity in keys.
        lines: first line of each text in the file.
    """

    name: str
    version: Annotated[int, Field(ge=1)]
    description: str = ""
    tasks: tuple[str, ...] = ()
    system: str = ""
    user: str
    example: str = "{{ answer }}"
    answer: dict[str, Any] | None = None
    strategies: Annotated[dict[str, Strategy], Field(min_length=1)]
    file: Path
    digest: str
    lines: dict[tuple[str, ...], int]

    def strategy(self, name: str) -> Strategy:
        """One of its strategies, complete with what the template gives for all.

        Raises:
            ConfigError: it has none of this name.
        """
        if name not in self.strategies:
            raise ConfigError(
                f"the strategy of template {self.name} must be one of {', '.join(self.strategies)}, but got {name!r}"
                f"{did_you_mean(name, self.strategies)}"
            )
        own = self.strategies[name]
        given = {part: getattr(own, part) for part in ("system", "user", "example", "answer")}
        return own.model_copy(
            update={part: getattr(self, part) if text is None else text for part, text in given.items()}
        )

    def answer_schema(self, strategy: str, labels: Sequence[str]) -> dict[str, Any] | None:
        """JSON schema of the answers of a strategy, with the labels of the data; None where they are plain text."""
        found: dict[str, Any] | None = _filled(self.strategy(strategy).answer, list(labels))
        return found


def template_named(name_or_path: str) -> Template:
    """The template of a name, or that of a YAML file.

    Raises:
        ConfigError: there is no such template or file, or it is no template.
        InputError: a package registers it, but cannot be imported.
    """
    path = Path(name_or_path)
    is_path = path.suffix in (".yaml", ".yml") or len(path.parts) > 1
    if not is_path and name_or_path not in TEMPLATES.names():
        names = ", ".join(TEMPLATES.names())
        raise ConfigError(
            f"a template must be one of {names}, or a YAML file, but got {name_or_path!r}"
            f"{did_you_mean(name_or_path, TEMPLATES.names())}"
        )
    return read_template(path if is_path else Path(TEMPLATES.get(name_or_path)))


def read_template(path: Path) -> Template:
    """The template of a file; every text in it was parsed.

    Raises:
        ConfigError: it cannot be read, or is no template.
    """
    try:
        data = path.read_bytes()
        documents = read_yaml(data.decode("utf-8"), Yaml12, str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} must be a prompt template in YAML, but cannot be read: {error}") from error
    if len(documents) != 1 or not isinstance(documents[0].value, dict):
        raise ConfigError(f"{path} must be one YAML mapping with name, version, user and strategies, but is not")
    value, rows = documents[0].value, data.decode("utf-8").splitlines()
    # The text of a block scalar begins in the line after its key.
    lines = {
        keys: line + (rows[line - 1].rstrip().endswith(("|", "|-", "|+", ">", ">-", ">+")))
        for keys, line in documents[0].lines.items()
        if keys[-1] in ("system", "user", "example")
    }
    own = {"file": path, "digest": sha256(data).hexdigest(), "lines": lines}
    try:
        template = Template.model_validate({**value, **own})
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigError(f"{path} must be a prompt template, but {place}: {first['msg']}") from error
    for name in template.strategies:
        strategy = template.strategy(name)
        for part in ("system", "user", "example"):
            _compiled(template, name, part, getattr(strategy, part))
    return template


def render(
    template: Template,
    strategy: str,
    row: Mapping[str, Any],
    labels: Sequence[str],
    examples: Sequence[Example] = (),
    asked: str | None = None,
    descriptions: Mapping[str, str] = MappingProxyType({}),
) -> tuple[Message, ...]:
    """The conversation that asks for one row: the system message, the examples as earlier turns, and the row.

    Args:
        row: its columns by name.
        asked: the label that is asked for, where a template asks for each alone.
        descriptions: what labels mean, by label.

    Raises:
        ConfigError: the template names a column that the row does not have, or does what the sandbox forbids; the
            message names template, line and columns.
    """
    texts = template.strategy(strategy)
    own = {"labels": list(labels), "descriptions": dict(descriptions), "asked": asked}

    def text(part: Part, columns: Mapping[str, Any], **more: Any) -> str:
        source = getattr(texts, part)
        return _rendered(template, strategy, part, source, {**columns, "row": dict(columns), **own, **more})

    messages = []
    if texts.system:
        messages.append(Message(role="system", content=text("system", row)))
    for example in examples:
        messages.append(Message(role="user", content=text("user", example.row)))
        messages.append(Message(role="assistant", content=text("example", example.row, answer=example.answer)))
    messages.append(Message(role="user", content=text("user", row)))
    return tuple(messages)


def _rendered(template: Template, strategy: str, part: Part, source: str, variables: dict[str, Any]) -> str:
    compiled = _compiled(template, strategy, part, source)
    try:
        return compiled.render(variables).strip()
    except jinja2.UndefinedError as error:
        columns = ", ".join(variables["row"]) or "none"
        raise ConfigError(
            f"{_place(template, strategy, part, _line(error))}: {error.message}; the columns of the row are {columns}"
        ) from error
    # A template can raise whatever its expressions raise, as TypeError for 1 + "a".
    except Exception as error:
        raise ConfigError(f"{_place(template, strategy, part, _line(error))}: {error}") from error


@lru_cache(maxsize=256)
def _parsed(source: str) -> jinja2.Template:
    return template_environment().from_string(source)


def _compiled(template: Template, strategy: str, part: Part, source: str) -> jinja2.Template:
    try:
        return _parsed(source)
    except jinja2.TemplateSyntaxError as error:
        raise ConfigError(f"{_place(template, strategy, part, error.lineno)}: {error.message}") from error


def _line(error: BaseException) -> int:
    """Line in a text of the template at which it failed; Jinja puts its own frames into the traceback."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == "<template>"]
    return frames[-1].lineno or 1 if frames else 1


def _place(template: Template, strategy: str, part: Part, line: int) -> str:
    first = template.lines.get(("strategies", strategy, part)) or template.lines.get((part,))
    where = f"{template.file}:{first + line - 1}" if first else str(template.file)
    return f"template {template.name} ({where}, {part})"


def _filled(schema: Any, labels: list[str]) -> Any:
    if isinstance(schema, dict):
        return {
            name: labels if name == "enum" and one == "labels" else _filled(one, labels) for name, one in schema.items()
        }
    return [_filled(one, labels) for one in schema] if isinstance(schema, list) else schema
