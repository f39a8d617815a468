from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.errors import ConfigError
from podium.inference.prompts import TEMPLATES, Example, read_template, render, template_named
from podium.tasks import TASKS

MINE = """\
name: mine
version: 2
system: |
  Two
  {{ labels | join("/") }}
user: |
  {{ title }}
  {{ text }}{% if asked %} {{ asked }}?{% endif %}

example: "= {{ answer }}"
answer:
  type: object
  properties: {label: {enum: labels}}
strategies:
  zero-shot: {}
  few-shot: {examples: 2}
  bare: {system: "", answer: {type: string}}
"""
ROW = {"title": "A", "text": "b"}


def written(folder: Path, text: str = MINE) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


@pytest.mark.parametrize("name", TEMPLATES.names())
def test_shipped_templates_render_every_strategy(name: str) -> None:
    template = template_named(name)
    assert template.name == name and set(template.tasks) <= set(TASKS.names())
    row = {"text": "a text", "tokens": ["a", "text"], "body": {"messages": [{"role": "user", "content": "a text"}]}}
    for strategy in template.strategies:
        messages = render(template, strategy, row, ("x", "y"), [Example(row, "x")], asked="x")
        assert messages[-1].role == "user" and "text" in messages[-1].content


@pytest.mark.parametrize("name", ["classify", "classify-each", "entities"])
def test_shipped_templates_say_what_labels_mean_where_it_is_known(name: str) -> None:
    template = template_named(name)
    for strategy in template.strategies:
        plain = render(template, strategy, {"text": "a text"}, ("x", "y"), asked="x")
        described = render(template, strategy, {"text": "a text"}, ("x", "y"), asked="x", descriptions={"x": "is it X"})
        before, after = ("\n".join(one.content for one in messages) for messages in (plain, described))
        assert "is it X" in after and "\n\n\n" not in after and "y:" not in after
        assert after.replace("x: is it X\n", "").replace(" (is it X)", "") == before


def test_columns_labels_and_examples_reach_the_texts(tmp_path: Path) -> None:
    template = template_named(str(written(tmp_path)))
    found = render(template, "few-shot", ROW, ("x", "y"), [Example({"title": "C", "text": "d"}, "y")], asked="x")
    assert [(one.role, one.content) for one in found] == [
        ("system", "Two\nx/y"),
        ("user", "C\nd x?"),
        ("assistant", "= y"),
        ("user", "A\nb x?"),
    ]
    assert [one.role for one in render(template, "bare", ROW, ("x",))] == ["user"]


def test_a_schema_has_the_labels(tmp_path: Path) -> None:
    template = read_template(written(tmp_path))
    assert template.answer_schema("zero-shot", ("x", "y")) == {
        "type": "object",
        "properties": {"label": {"enum": ["x", "y"]}},
    }
    assert template.answer_schema("bare", ("x",)) == {"type": "string"}


def test_the_bytes_of_the_file_are_its_identity(tmp_path: Path) -> None:
    first = read_template(written(tmp_path)).digest
    assert first == read_template(written(tmp_path)).digest != read_template(written(tmp_path, MINE + "# x\n")).digest


def test_an_unknown_column_is_named_with_template_line_and_columns(tmp_path: Path) -> None:
    path = written(tmp_path)
    with pytest.raises(ConfigError) as failure:
        render(read_template(path), "zero-shot", {"title": "A", "body": "b"}, ())
    message = str(failure.value)
    assert f"template mine ({path}:8, user)" in message and "'text' is undefined" in message
    assert message.endswith("the columns of the row are title, body")


@pytest.mark.parametrize(
    "text", ["{{ row.__class__.__mro__ }}", "{{ row.clear() }}", "{{ ''.__class__ }}", "{{ 1 + text }}"]
)
def test_the_sandbox_holds(tmp_path: Path, text: str) -> None:
    template = read_template(written(tmp_path, MINE.replace("{{ title }}", text)))
    with pytest.raises(ConfigError, match=":7, user"):
        render(template, "zero-shot", ROW, ())


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("{{ title }}", "{{ title +", ":8, user"),
        ("version: 2", "version: two", "version"),
        ("user: |", "usr: |", "user"),
        ("zero-shot: {}", "zero-shot: {exampels: 1}", "exampels"),
        ("name: mine", "name: mine\nname: other", "given twice"),
    ],
)
def test_what_is_no_template_is_refused(tmp_path: Path, old: str, new: str, expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        read_template(written(tmp_path, MINE.replace(old, new)))


def test_unknown_names_are_refused_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match='did you mean "classify"'):
        template_named("clasify")
    with pytest.raises(ConfigError, match="cannot be read"):
        template_named(str(tmp_path / "none.yaml"))
    template: Any = template_named("classify")
    with pytest.raises(ConfigError, match='did you mean "few-shot"'):
        render(template, "fewshot", ROW, ())
