from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from podium import plugins
from podium.errors import InputError
from podium.plugins import Registry


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[object]:
    theirs = {
        "good": EntryPoint("good", "pathlib:PurePath", "things"),
        "bad": EntryPoint("bad", "no_such_module:thing", "things"),
    }
    monkeypatch.setattr(plugins, "_entry_points", {"things": theirs}.__getitem__)
    return Registry("things", "thing", {"path": "pathlib:Path"})


def test_own_and_foreign_implementations_are_found_by_name(registry: Registry[object]) -> None:
    assert registry.names() == ("path", "bad", "good")
    assert registry.get("path") is Path
    assert registry.get("good").__name__ == "PurePath"  # type: ignore[attr-defined]


def test_an_unknown_name_is_refused_with_the_nearest_one(registry: Registry[object]) -> None:
    with pytest.raises(InputError, match="must be one of path, bad, good, but got 'goood'; did you mean \"good\""):
        registry.get("goood")


def test_a_plugin_that_cannot_be_imported_is_named(registry: Registry[object]) -> None:
    with pytest.raises(InputError, match=r"no_such_module:thing cannot be imported: ModuleNotFoundError"):
        registry.get("bad")
