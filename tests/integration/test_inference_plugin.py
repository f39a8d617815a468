"""The package of `docs/inference.md`, taken from its text, installed and run; and its parts against the contracts."""

from __future__ import annotations

import io
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from conftest import podium_here
from podium import plugins
from podium.inference.backends import BACKENDS
from podium.inference.parsers import PARSERS
from podium.inference.prompts import TEMPLATES
from podium.inference.writers import WRITERS
from tests.unit.inference.parser_contract import LABELS, REPLIES, WORDS

pytestmark = pytest.mark.integration

PAGE = (Path(__file__).parents[2] / "docs" / "inference.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)
    return str(found)


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    site = tmp_path / "site"
    about = site / "podium_house-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: podium-house\nVersion: 1.0\n")
    groups = tomllib.loads(block("toml"))["project"]["entry-points"]
    points = "\n".join(
        f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in named.items())
        for group, named in groups.items()
    )
    (about / "entry_points.txt").write_text(points)
    (site / "podium_house.py").write_text(block("python"))
    (site / "mood.yaml").write_text(block("yaml"))
    monkeypatch.syspath_prepend(str(site))
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()
    for registry in (BACKENDS, PARSERS, WRITERS, TEMPLATES):
        for name in ("rules", "after-equals", "markdown", "mood"):
            registry._loaded.pop(name, None)
    sys.modules.pop("podium_house", None)


def test_the_package_of_the_page_runs_as_the_page_says(installed: None, tmp_path: Path) -> None:
    (tmp_path / "mails.csv").write_text("id,mail\na,WHERE IS MY ORDER\nb,thank you for the help\n")
    (command,) = re.findall(r"^    podium (infer any .*)$", PAGE, re.MULTILINE)
    done = podium_here(tmp_path, *command.split(), "--all", "--text-column", "mail")
    assert done.code == 0, done.output
    (written,) = tmp_path.glob("podium-out/inference/*/predictions.md")
    assert written.read_text() == "- a: angry\n- b: calm\n"
    listed = podium_here(tmp_path, "infer", "list").output
    for name in ("mood  version 1", "rules", "markdown"):
        assert f"\n  {name}" in listed


def test_its_parts_hold_the_contracts(installed: None) -> None:
    parser, writer = PARSERS.get("after-equals"), WRITERS.get("markdown")
    for text in REPLIES:
        assert parser.parse(text, LABELS, WORDS) is None
    stream = io.BytesIO()
    writer.write(lambda: iter([{"podium_id": "a", "podium_answer": "ü"}]), ("podium_id", "podium_answer"), stream)
    assert stream.getvalue().decode() == "- a: ü\n"
