"""Which scalars each dialect of YAML knows, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from podium.errors import ConfigError
from podium.strict_yaml import Dialect, KubernetesYaml, Yaml12, kubernetes_yaml, read_yaml


def value(text: str, dialect: type[Dialect]) -> Any:
    (document,) = read_yaml(f"a: {text}", dialect)
    return document.value["a"]


@pytest.mark.parametrize(
    ("text", "in_yaml_1_2", "in_kubernetes"),
    [
        ("1e-3", 0.001, 0.001),
        (".5", 0.5, 0.5),
        ("12", 12, 12),
        ("0644", "0644", 0o644),
        ("0x1F", "0x1F", 31),
        ("off", "off", False),
        ("Yes", "Yes", True),
        ("TRUE", True, True),
        ("2026-01-02", "2026-01-02", "2026-01-02"),
        ("1:30", "1:30", "1:30"),
        ("~", None, None),
        ("'1'", "1", "1"),
    ],
)
def test_scalars_of_the_dialects(text: str, in_yaml_1_2: Any, in_kubernetes: Any) -> None:
    for found, expected in ((value(text, Yaml12), in_yaml_1_2), (value(text, KubernetesYaml), in_kubernetes)):
        assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize("text", ["1e-3", "on", "n", "0644", "12", "null", "2026-01-02", "plain", "1:30"])
def test_a_text_that_is_written_is_read_as_a_text(text: str) -> None:
    assert read_yaml(kubernetes_yaml({"a": [text]}), KubernetesYaml)[0].value == {"a": [text]}
    assert yaml.safe_load(kubernetes_yaml({"a": [text]})) == {"a": [text]}


def test_every_key_has_its_line() -> None:
    (document,) = read_yaml("a:\n  b: 1\n  c:\n  - d: 2\n", Yaml12)
    assert document.lines == {("a",): 1, ("a", "b"): 2, ("a", "c"): 3, ("a", "c", "0", "d"): 4}


def test_empty_documents_are_left_out() -> None:
    assert [document.value for document in read_yaml("# nothing\n---\na: 1\n---\n", Yaml12)] == [{"a": 1}]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb:\n- c: 1\n  c: 2\n", "mine.yaml:4: b.0.c is given twice, first at mine.yaml:3; remove one"),
        ("a: [1\nb: 2", "mine.yaml:2: not valid YAML"),
        ("a: !!int b", "mine.yaml: not valid YAML"),
        ("a: " + "[" * 2000, "mine.yaml: it is nested too deeply"),
    ],
)
def test_what_is_refused_is_named_with_its_place(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_yaml(text, Yaml12, "mine.yaml")
    with pytest.raises(ConfigError, match=message.replace("mine.yaml:", "line ").replace("line  ", "the text: ")):
        read_yaml(text, Yaml12)
