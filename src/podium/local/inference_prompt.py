"""The prompted model of `podium infer`: its backend, template, labels and examples, from what the user said."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

from jinja2 import Environment, meta
from pydantic import TypeAdapter, ValidationError

from podium.errors import ConfigError, InputError
from podium.inference.backends import BACKENDS
from podium.inference.backends.base import Backend
from podium.inference.backends.openai import OpenAI
from podium.inference.backends.openai_batch import BatchFiles
from podium.inference.prompted import Mode, PromptedModel, Prompting
from podium.inference.prompts import Example, Template, template_named
from podium.inference.rows import Choice, Survey
from podium.local.inference_data import DataCommand, OpenData, open_data, values_of
from podium.local.inference_system import OpenSystem
from podium.models.prompted.replies import entities_of
from podium.strict_yaml import Yaml12, read_yaml
from podium.tasks import TASKS
from podium.tasks.columns import missing
from podium.text import did_you_mean, file_name, shortened

_MOST_LABELS = 50
_MILLION = 1_000_000
_HERE = ("local", "xllamacpp", "echo")
"""Backends that run in this process, so that nobody pays for what a dry run asks."""


@dataclass(frozen=True)
class PromptCommand:
    """How a model is asked.

    Attributes:
        model: what the backend calls it: a path, a hub id, or the name at an endpoint.
        template: name or path; strategy empty for the template's first.
        labels: empty to take those in the label column, if there is one.
        task: empty for one label per row where there are labels, and free text otherwise.
        settings: `NAME=VALUE` of the backend.
        examples: file with rows that have answers; empty for none.
        batch_files: whether requests are written to a file, or `batch_results` has what came of them.
        descriptions: what labels mean, by label.
        price: per million tokens of prompts and of answers; None where the endpoint has none.
    """

    backend: str
    model: str
    template: str = "classify"
    strategy: str = ""
    labels: tuple[str, ...] = ()
    task: str = ""
    parser: str = ""
    mode: str = "auto"
    settings: Sequence[str] = ()
    examples: str = ""
    max_new_tokens: int = 100
    temperature: float = 0.0
    seed: int = 0
    price: tuple[float, float] | None = None
    device: str = "auto"
    batch: int = 32
    trust_remote_code: bool = False
    batch_files: bool = False
    batch_results: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)


def open_prompted(command: PromptCommand, data: DataCommand, directory: Path) -> OpenSystem:
    """The template of a command, and what makes the system once the data is there.

    Raises:
        InputError: a name is unknown, or settings contradict each other.
    """
    template = template_named(command.template)
    strategy = command.strategy or next(iter(template.strategies))
    count = template.strategy(strategy).examples
    for name, known in (("--task", TASKS.names()), ("--mode", get_args(Mode))):
        given = command.task if name == "--task" else command.mode
        if given and given not in known:
            raise InputError(f"{name} must be one of {', '.join(known)}, but got {given!r}{did_you_mean(given, known)}")
    if count and not command.examples:
        raise InputError(
            f"strategy {strategy!r} shows {count} examples, so --examples must name a file with answered rows"
        )
    BACKENDS.get(command.backend)  # refuses a name that there is not
    content_task = (command.task or TASKS.names()[0]) if _reads_text(template, strategy) or command.task else None

    def system(found: OpenData, survey: Survey) -> PromptedModel:
        labels = command.labels or _labels_of(found, command.task)
        task = command.task or (TASKS.names()[0] if labels else None)
        if task is not None and TASKS.get(task).words:  # types of entities are given
            labels = TASKS.get(task).label_space(TASKS.get(task).kinds_of(labels))
        backend = open_backend(command)
        prompting = Prompting(
            template,
            strategy,
            labels,
            task,
            command.parser,
            command.mode,  # type: ignore[arg-type]
            _examples(command, data, directory, found, survey, count, content_task),
            found.source.content,
            command.descriptions,
            command.max_new_tokens,
            command.temperature,
            command.seed,
        )
        try:
            return PromptedModel(backend, prompting)
        except BaseException:
            backend.close()
            raise

    return OpenSystem(
        name=file_name(f"{command.backend}-{Path(command.model).name.removesuffix('.gguf')}"),
        said=f"{command.model} by {command.backend}, template {template.name} version {template.version} ({strategy})",
        content_task=content_task,
        labels=command.labels,
        system=system,
        device=command.device,
        recorded={"backend": command.backend, "template": template.name, "strategy": strategy},
        files={"prompt.yaml": template.file.read_text(encoding="utf-8")},
        timed=command.backend in _HERE,
        price=None if command.price is None else _priced(command.price),
        longest_output=command.max_new_tokens,
    )


def read_labels(given: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """The labels of `A,B`, or those of a YAML file that maps labels to what they mean; and what they mean, by label.

    Raises:
        ConfigError: the file cannot be read, or is no such mapping.
    """
    path = Path(given)
    if path.suffix not in (".yaml", ".yml", ".json"):
        return tuple(one.strip() for one in given.split(",") if one.strip()), {}
    try:
        documents = read_yaml(path.read_text(encoding="utf-8"), Yaml12, given)
        found = TypeAdapter(dict[str, str]).validate_python(documents[0].value if len(documents) == 1 else None)
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise ConfigError(
            f"--labels {given} must be a YAML file of lines `LABEL: what it means`; quote a label or a text that YAML "
            f"takes for a number or a truth value: {error}"
        ) from error
    return tuple(found), found


def open_backend(command: PromptCommand, **more: Any) -> Backend:
    """The backend of a command, ready to answer; `more` are settings that go before those of the user.

    Raises:
        InputError: it has no such setting, or the value does not fit.
        ModelError: the model is not there.
    """
    kind: type[Backend] = BACKENDS.get(command.backend)
    if command.batch_files and kind is not OpenAI:
        raise InputError(f"batch files are those of --backend openai, but got --backend {command.backend}")
    hints, parameters = get_type_hints(kind.__init__), inspect.signature(kind).parameters
    own = {
        "model": command.model,
        "device": command.device,
        "batch": command.batch,
        "trust_remote_code": command.trust_remote_code,
    }
    values: dict[str, Any] = {name: value for name, value in own.items() if name in parameters}
    known = [one for one in parameters if one not in own]
    for name, text in values_of("--backend-set", command.settings, known, f" for {command.backend}").items():
        try:
            hint = hints.get(name, str)
            value = text.split(",") if get_origin(hint) is not None and get_origin(hint) is not UnionType else text
            values[name] = TypeAdapter(hint).validate_python(value)
        except ValidationError as error:
            raise InputError(f"--backend-set {name}: {error.errors()[0]['msg']}, but got {text!r}") from error
    values |= {name: value for name, value in more.items() if name in parameters}
    if command.batch_files:
        return BatchFiles(results=Path(command.batch_results) if command.batch_results else None, **values)
    return kind(**values)


def _reads_text(template: Template, strategy: str) -> bool:
    """Whether the prompt has a variable `text`."""
    own = template.strategy(strategy)
    sources = [one for one in (own.system, own.user, own.example) if one]
    found = (meta.find_undeclared_variables(Environment(autoescape=True).parse(source)) for source in sources)
    return any("text" in names for names in found)


def _labels_of(data: OpenData, task: str) -> tuple[str, ...]:
    """The labels that the label column of the data has; none where there is no such column."""
    if data.target is None:
        return ()
    kind = TASKS.get(task or TASKS.names()[0])
    options = {name: option.default for name, option in kind.options.items()}
    found: set[str] = set()
    for row in data.source:
        value = row.values.get(data.target)
        if missing(value) or value == "":
            continue
        try:
            target, _ = kind.read_target(value, row.content, options)
        except ValueError:
            continue
        found |= set(kind.kinds(target))
        if len(found) > _MOST_LABELS:
            raise InputError(
                f"the label column {data.target!r} has more than {_MOST_LABELS} labels; name those that may be "
                "answered with --labels A,B, or another column with --label-column"
            )
    return kind.label_space(found)


def _examples(
    command: PromptCommand,
    data: DataCommand,
    directory: Path,
    found: OpenData,
    survey: Survey,
    count: int,
    task: str | None,
) -> tuple[Example, ...]:
    """So many answered rows, drawn by seed; none that is among the rows to predict."""
    if not command.examples or not count:
        return ()
    given = open_data(replace(data, data=command.examples, split=""), directory, task, ())
    if given.target is None:
        raise InputError(
            f"the rows of --examples must have answers, but {given.place} has no label column; --label-column"
        )
    asked = {_digest(row.values, found) for row in found.source.chosen(survey)}
    drawn = given.source.survey(Choice(random=survey.count + 10 * count, seed=command.seed))
    usable = (
        row
        for row in given.source.chosen(drawn)
        if row.problem is None and not missing(row.values.get(given.target)) and _digest(row.values, given) not in asked
    )
    examples = []
    for row in islice(usable, count):
        text = {"text": row.content} if given.source.content is not None else {}
        answer = row.values[given.target]
        if task is not None and TASKS.get(task).words:
            examples.append(Example({**row.values, "text": " ".join(row.content)}, entities_of(row.content, answer)))
            continue
        examples.append(Example({**row.values, **text}, str(answer)))
    if len(examples) < count:
        raise InputError(
            f"{count} examples are shown, but {given.place} has only {len(examples)} answered rows that are not "
            "among the rows to predict"
        )
    return tuple(examples)


def _digest(values: Mapping[str, Any], data: OpenData) -> bytes:
    """Digest of what a row says, which is equal for equal rows of two files."""
    name = data.source.content
    said = values.get(name) if name is not None else sorted((k, v) for k, v in values.items() if k != data.target)
    return hashlib.blake2b(repr(said).strip().encode("utf-8", "replace"), digest_size=16).digest()


def _priced(price: tuple[float, float]) -> Any:
    def of(prompt: int, output: int) -> str:
        total = (prompt * price[0] + output * price[1]) / _MILLION
        return f"{total:.4f} (at {price[0]:g} and {price[1]:g} per million tokens of prompts and answers)"

    return of


def parse_price(text: str) -> tuple[float, float] | None:
    """`IN,OUT` per million tokens; None for an empty text.

    Raises:
        InputError: it is none.
    """
    if not text:
        return None
    parts = text.split(",")
    try:
        first, second = (float(part) for part in parts)
        if first >= 0 and second >= 0:
            return first, second
    except ValueError:
        pass
    raise InputError(f"--price must be IN,OUT per million tokens, such as 0.15,0.60, but got {shortened(parts, 5)!r}")
