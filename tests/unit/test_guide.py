"""The user guide names every field of the config, with the default it has."""

import re
from pathlib import Path

import pytest
from pydantic.fields import FieldInfo

from podium.config.compose import group_options
from podium.config.fields import FieldPath, child_of, node_at, schema_paths
from podium.config.schema import PodiumConfig
from podium.config.show import _text
from podium.keys import NotKeyed
from podium.selection import decision, winner

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"

ROW = re.compile(r"^\| `([^`]+)` \| ([^|]+) \| [^|]+ \| (yes|–) \|$", re.MULTILINE)
"""A row of a table of fields: name, default, meaning, and whether the field changes keys."""

FIELDS = [path for path in schema_paths() if isinstance(node_at(path), FieldInfo)]


def documented() -> dict[str, tuple[str, str]]:
    return {name: (default, key) for name, default, key in ROW.findall(GUIDE.read_text(encoding="utf-8"))}


def name_of(path: FieldPath) -> str:
    return ".".join(path).replace("*", "NAME")


def default_of(path: FieldPath) -> str:
    field = node_at(path)
    assert isinstance(field, FieldInfo)
    return "required" if field.is_required() else f"`{_text(field.get_default(call_default_factory=True))}`"


def changes_keys(path: FieldPath) -> bool:
    """Whether neither the field nor a section around it is marked `NotKeyed`."""
    node = PodiumConfig
    for name in path:
        if isinstance(node, type) and any(isinstance(mark, NotKeyed) for mark in node.model_fields[name].metadata):
            return False
        node = child_of(node, name)
    return True


@pytest.mark.parametrize("path", FIELDS, ids=name_of)
def test_every_field_is_in_the_guide_with_its_default(path: FieldPath) -> None:
    assert documented().get(name_of(path)) == (default_of(path), "yes" if changes_keys(path) else "–")


def test_the_guide_names_no_field_that_does_not_exist() -> None:
    assert set(documented()) == {name_of(path) for path in FIELDS}


def test_the_guide_names_every_group_and_option() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    rows = dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|$", text, re.MULTILINE))
    named = {group: tuple(sorted(re.findall(r"`([\w-]+)`", rows.get(group, "")))) for group in group_options()}
    assert named == dict(group_options())


def test_the_guide_names_every_reason_code() -> None:
    text = GUIDE.read_text(encoding="utf-8")
    codes = [
        value
        for module in (decision, winner)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    ]
    assert len(codes) > 15
    assert [code for code in codes if f"`{code}`" not in text] == []
