"""A prompted model as what answers rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from podium.errors import InputError
from podium.inference.backends.base import Backend, Message, Reply, Request
from podium.inference.backends.echo import Echo
from podium.inference.backends.local import _text
from podium.inference.prompted import PromptedModel, Prompting
from podium.inference.prompts import Example, template_named
from podium.inference.rows import InputRow
from podium.models.prompted.generating import Generated
from podium.models.prompted.package import PromptPackage

LABELS = ("business", "sport")


class Scripted(Backend):
    """Answers with what the last message says after `say `."""

    name = "scripted"
    decides = False
    generates = True
    enforces_schema = False

    def __init__(self) -> None:
        self.asked: list[Request] = []

    def answer(self, requests: Sequence[Request]) -> Iterator[tuple[str, Reply]]:
        for request in requests:
            self.asked.append(request)
            text = request.messages[-1].content.rpartition("say ")[2]
            outcome: Any = text if text in ("refused", "truncated", "too-long", "transient", "permanent") else "ok"
            error = None if outcome == "ok" else "it was told to"
            yield request.id, Reply(outcome=outcome, text=text, reasoning="thought", error=error, attempts=2)

    def count_tokens(self, messages: Sequence[Message]) -> int:
        return len(messages)

    def identity(self) -> dict[str, Any]:
        return {"backend": "scripted"}


def row(text: str, number: int = 0, **values: Any) -> InputRow:
    return InputRow(f"r{number}", {"text": text, **values}, text)


def prompting(**fields: Any) -> Prompting:
    given = {
        "template": template_named(str(Path(__file__).with_name("plain.yaml"))),
        "strategy": "zero-shot",
        "labels": LABELS,
    }
    return Prompting(**{**given, "task": "text-classification", **fields})


def test_decided_rows_have_probabilities_in_the_order_of_the_labels() -> None:
    model = PromptedModel(Echo(), prompting())
    (entry,) = model.answer([row("sport and sport")])
    assert (entry.answer, entry.outcome, entry.probabilities) == ("sport", "ok", (0.25, 0.75))
    assert (model.decides, model.labels, model.task) == (True, LABELS, "text-classification")
    assert model.shown(row("a goal")).endswith("[user] a goal")


@pytest.mark.parametrize(
    ("reply", "outcome", "answer"),
    [
        ("Sport.", "ok", "sport"),
        ("either", "unparseable", None),
        *((name, name, None) for name in ("refused", "truncated", "too-long", "transient", "permanent")),
    ],
)
def test_generated_rows_are_parsed_and_every_outcome_is_kept(reply: str, outcome: str, answer: str | None) -> None:
    (entry,) = PromptedModel(Scripted(), prompting()).answer([row(f"say {reply}")])
    assert (entry.outcome, entry.answer, entry.text, entry.reasoning) == (outcome, answer, reply, "thought")
    assert (entry.attempts, entry.probabilities) == (2, None)
    assert (entry.error is None) == (outcome == "ok")


def test_answers_in_json_carry_their_rationale() -> None:
    backend = Scripted()
    model = PromptedModel(backend, prompting(strategy="rationale-first"))
    (entry,) = model.answer([row('say {"rationale": "a goal", "label": "sport"}')])
    assert (entry.answer, entry.reasoning) == ("sport", "thought\na goal")
    (request,) = backend.asked
    assert request.schema is not None
    assert request.schema["properties"]["label"]["enum"] == list(LABELS)
    assert request.options == ()


def test_free_text_and_words_have_parsers_of_their_own() -> None:
    free = PromptedModel(Scripted(), prompting(labels=(), task=None))
    (entry,) = free.answer([row("say a whole sentence")])
    assert (entry.answer, free.labels) == ("a whole sentence", None)
    tags = ("O", "B-PER", "I-PER")
    words = PromptedModel(Scripted(), prompting(labels=tags, task="ner"))
    (entry,) = words.answer([InputRow("r", {"text": 'say [{"text": "Ada", "type": "PER"}]'}, ["Ada", "met"])])
    assert entry.answer == ["B-PER", "O"]


REPLIES = [
    *("sport", " Sport. ", "**business**", "sport or business", "sporty", "", "a business, that is business"),
    *("<think>sport?</think>business", "<think>business", '{"label": "SPORT"}', '{"labels": ["sport"]}'),
    *('```json\n{"label": "sport"}\n```', '{"label": "sport"} {"label": "business"}', '{"label": "spo', "[]"),
    *('{"entities": [{"text": "Ada", "label": "PER"}]}', '[{"text": "Bob", "label": "PER"}]', '{"entities": []}'),
    "<|channel|>analysis<|message|>business<|end|><|start|>assistant<|channel|>final<|message|>sport<|return|>",
]


@pytest.mark.parametrize("form", ["label", "json", "spans"])
@pytest.mark.parametrize("cut", [False, True])
def test_a_deployed_model_reads_replies_as_an_inference_does(form: str, cut: bool) -> None:
    words = form == "spans"
    task, labels = ("ner", ("O", "B-PER", "I-PER")) if words else ("text-classification", LABELS)
    strategy = "rationale-first" if form == "json" else "zero-shot"
    model = PromptedModel(Scripted(), prompting(task=task, labels=labels, strategy=strategy, mode="generate"))
    strategies = dict.fromkeys(("system", "user", "example"), "")
    about = {
        "task": task,
        "decoding": "tokens" if words else "single",
        "labels": labels,
        "types": ["PER"],
        **strategies,
    }
    about |= {"mode": "generate", "answer": {"type": "object"} if form == "json" else None, "precision": "fp32"}
    chat = SimpleNamespace(without_special=str.strip)
    package = PromptPackage(Path(), about=about, model=SimpleNamespace(chat=chat))
    content: Any = ["Ada", "met"] if words else "a text"
    answered = 0
    for text in REPLIES:
        reply = _text(SimpleNamespace(chat=chat), Generated(text, 1, cut, 0.0), 1)
        there = model.entry("r", reply, content).answer
        assert package.read(Generated(text, 1, cut, 0.0), content) == there, text
        answered += there is not None
    assert answered == 0 if cut else answered > 1


def test_a_row_without_a_column_of_the_template_fails_alone_and_long_rows_come_first(tmp_path: Path) -> None:
    path = tmp_path / "ask.yaml"
    path.write_text("name: ask\nversion: 1\nuser: '{{ title }}: {{ text }}'\nstrategies: {plain: {}}\n")
    backend = Scripted()
    model = PromptedModel(backend, prompting(template=template_named(str(path)), strategy="plain"))
    rows = [row("say sport", 1, title="a"), row("say sport", 2), row("longer, say sport", 3, title="b")]
    found = {entry.id: entry for entry in model.answer(rows)}
    assert [request.id for request in backend.asked] == ["r3", "r1"]
    assert found["r2"].outcome == "permanent"
    assert "'title' is undefined; the columns of the row are text" in str(found["r2"].error)


def test_all_that_shapes_answers_is_in_the_identity() -> None:
    base = PromptedModel(Echo(), prompting()).identity()
    changes: list[dict[str, Any]] = [
        {"strategy": "rationale-first"},
        {"labels": ("sport", "business")},
        {"parser": "text"},
        {"mode": "generate"},
        {"examples": (Example({"text": "a"}, "sport"),)},
        {"max_new_tokens": 7},
        {"temperature": 0.5},
        {"seed": 1},
        {"task": None},
    ]
    for change in changes:
        assert PromptedModel(Echo(), prompting(**change)).identity() != base, change
    assert PromptedModel(Scripted(), prompting()).identity() != base


def test_deciding_needs_labels_and_a_backend_that_can() -> None:
    with pytest.raises(InputError, match="needs a backend that gives probabilities, but scripted does not here"):
        PromptedModel(Scripted(), prompting(mode="decide"))
    with pytest.raises(InputError, match="needs a task with one label per row, and its labels"):
        PromptedModel(Echo(), prompting(mode="decide", labels=(), task=None))
    assert not PromptedModel(Echo(), prompting(mode="generate")).decides


def test_a_column_of_another_name_is_the_text_of_the_template() -> None:
    model = PromptedModel(Echo(), prompting(content="headline"))
    given = InputRow("r", {"headline": "a goal", "id": 3}, "a goal")
    assert model.messages(given)[-1].content == "a goal"
    assert model.count_tokens([given]) == [Echo().count_tokens(model.messages(given))]


def test_what_is_enforced_is_found_by_asking() -> None:
    assert PromptedModel(Echo(), prompting()).enforced() == {}
    assert PromptedModel(Echo(), prompting(strategy="rationale-first")).enforced() == {"schema": "enforced"}
    ignored = PromptedModel(Scripted(), prompting(strategy="rationale-first")).enforced()
    assert ignored["schema"].startswith("ignored: ok: ")
