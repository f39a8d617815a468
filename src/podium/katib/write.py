"""Katib resources as YAML text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from podium.katib.read import PLAIN_NUMBER


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Puts in quotes what Kubernetes would read as a number or a truth value, though PyYAML would not."""

    def ignore_aliases(self, data: object) -> bool:
        return True


_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", PLAIN_NUMBER, list("-+.0123456789"))
_Dumper.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("[yYnN]$"), list("yYnN"))


def to_yaml(resource: Mapping[str, Any]) -> str:
    """A resource as YAML, in its order, without aliases."""
    text: str = yaml.dump(resource, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
    return text
