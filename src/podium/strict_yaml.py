"""YAML read and written without surprises.

PyYAML on its own keeps the last of two equal keys, makes an object of a date and a number of 1:30, and takes 1e-3 for a
text. Here a key that is given twice is an error, and each dialect says what is a number or a truth value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from podium.errors import ConfigError

_BOOL, _INT, _FLOAT = (f"tag:yaml.org,2002:{name}" for name in ("bool", "int", "float"))
_NUMERIC = list("-+.0123456789")
_FLOATS = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+\.[0-9]*|[0-9]+(?=[eE]))(?:[eE][-+]?[0-9]+)?\Z")


class Dialect(yaml.SafeLoader):
    """What both dialects share: null, merge keys, and decimal numbers with a point or an exponent."""

    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag.rsplit(":", 1)[1] in {"null", "merge"}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Dialect.add_implicit_resolver(_FLOAT, _FLOATS, _NUMERIC)


class Yaml12(Dialect):
    """YAML 1.2: `off` is a text, and so is 007."""


Yaml12.add_implicit_resolver(_BOOL, re.compile(r"(?:true|false)\Z", re.IGNORECASE), list("tTfF"))
Yaml12.add_implicit_resolver(_INT, re.compile(r"[-+]?(?:0|[1-9][0-9]*)\Z"), _NUMERIC)


class KubernetesYaml(Dialect):
    """The YAML that Kubernetes reads: `off` is a truth value, and 0644 is an octal number."""


KubernetesYaml.add_implicit_resolver(
    _BOOL, re.compile(r"(?:yes|no|true|false|on|off)\Z", re.IGNORECASE), list("yYnNtTfFoO")
)
KubernetesYaml.add_implicit_resolver(
    _INT, re.compile(r"[-+]?(?:0b[0-1_]+|0x[0-9a-fA-F_]+|0[0-7_]*|[1-9][0-9_]*)\Z"), _NUMERIC
)


@dataclass(frozen=True)
class Document:
    """One YAML document.

    Attributes:
        value: as Python objects.
        lines: the line of every key, by the keys and list indices that lead to it.
    """

    value: Any
    lines: Mapping[tuple[str, ...], int]


def read_yaml(text: str, dialect: type[Dialect], file: str = "") -> list[Document]:
    """The documents of a text that are not empty.

    Args:
        file: named in errors, as `FILE:LINE`.

    Raises:
        ConfigError: the text is not YAML, or gives a key twice.
    """

    def place(line: int) -> str:
        return f"{file}:{line}" if file else f"line {line}"

    documents = []
    try:
        loader = dialect(text)
        while loader.check_node():
            node = loader.get_node()
            lines: dict[tuple[str, ...], int] = {}
            assert node is not None
            for path, line in _keys(node, (), set()):
                if path in lines:
                    raise ConfigError(
                        f"{place(line)}: {'.'.join(path)} is given twice, first at {place(lines[path])}; remove one"
                    )
                lines[path] = line
            documents.append(Document(loader.construct_document(node), lines))
    except RecursionError as error:
        raise ConfigError(f"{file or 'the text'}: it is nested too deeply") from error
    except yaml.MarkedYAMLError as error:
        where = place(error.problem_mark.line + 1) if error.problem_mark else file or "the text"
        raise ConfigError(f"{where}: not valid YAML: {error.problem}") from error
    except (yaml.YAMLError, ValueError, LookupError, AttributeError) as error:
        # The others are what PyYAML raises for a value that does not suit its tag, as `!!int a`.
        raise ConfigError(f"{file or 'the text'}: not valid YAML: {error}") from error
    return [document for document in documents if document.value is not None]


def _keys(node: yaml.Node, path: tuple[str, ...], seen: set[int]) -> Iterator[tuple[tuple[str, ...], int]]:
    """Every key below a node with its line; what an alias names is visited once, since it may contain itself."""
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            yield from _keys(item, (*path, str(index)), seen)
    elif isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _keys(value, here, seen)


class _KubernetesDumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts in quotes what Kubernetes would read as a number or a truth value, though PyYAML would not."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_KubernetesDumper.add_implicit_resolver(_FLOAT, _FLOATS, _NUMERIC)
_KubernetesDumper.add_implicit_resolver(_BOOL, re.compile("[yYnN]$"), list("yYnN"))


def kubernetes_yaml(resource: Mapping[str, Any]) -> str:
    """A Kubernetes resource as YAML, in its order, without aliases."""
    text: str = yaml.dump(resource, Dumper=_KubernetesDumper, sort_keys=False, allow_unicode=True, width=120)
    return text
