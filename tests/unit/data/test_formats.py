"""A format of another package: registered by its entry point, found by its extension, read like any other."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium import plugins
from podium.config.schema import DatasetConfig
from podium.data.formats import FORMATS, infer_format
from podium.data.infer import infer
from podium.data.prepare import prepare

MODULE = '''
"""Rows as `label|text`."""

from podium.data.readers.base import BadRow, Reader, Row


class Piped(Reader):
    name = "piped"
    extensions = (".piped",)
    contents = frozenset({"text"})

    @classmethod
    def sniffs(cls, head, path, content):
        return b"|" in head.partition(b"\\n")[0]

    def rows(self, columns=None):
        for file in self.source.files:
            for item in self.lines(file):
                if isinstance(item, BadRow):
                    yield item
                    continue
                label, _, text = item[1].rstrip("\\n").partition("|")
                yield Row(file.name, item[0], {"text": text, "label": label})
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package with the format, as pip leaves it."""
    site = tmp_path / "site"
    (site / "piped_format-1.0.dist-info").mkdir(parents=True)
    (site / "piped_format-1.0.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: piped-format\n")
    points = "[podium.formats]\npiped = piped_format:Piped\n"
    (site / "piped_format-1.0.dist-info" / "entry_points.txt").write_text(points)
    (site / "piped_format.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(site))
    plugins._entry_points.cache_clear()
    yield
    plugins._entry_points.cache_clear()
    FORMATS._loaded.pop("piped", None)
    sys.modules.pop("piped_format", None)


@pytest.mark.usefixtures("installed")
class TestAFormatOfAnotherPackage:
    def write(self, path: Path) -> Path:
        path.write_text("".join(f"{label}|text {n} of {label}\n" for n in range(10) for label in ("good", "bad")))
        return path

    def test_it_is_prepared_like_any_other(self, tmp_path: Path) -> None:
        config = DatasetConfig(name="x", path=str(self.write(tmp_path / "rows.piped")), task="text-classification")
        data = prepare(config, 13, tmp_path / "prepared")
        assert (data.labels, sum(data.rows.values()), data.rejected) == (("bad", "good"), 20, 0)
        assert list(data.sources) == ["rows.piped"]

    def test_it_may_be_found_by_its_contents(self, tmp_path: Path) -> None:
        assert infer_format(self.write(tmp_path / "rows.txt")) == "piped"

    def test_what_a_user_only_names_is_inferred(self, tmp_path: Path) -> None:
        found = infer(self.write(tmp_path / "rows.piped"))
        values = {one.path[1]: one.value for one in found.given.assignments}
        assert (values["format"], values["text_column"]) == ("piped", "text")
