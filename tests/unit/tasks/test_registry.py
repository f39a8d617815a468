"""A task of another package is used like Podium's own."""

from __future__ import annotations

import json
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from pydantic import ValidationError

from podium import plugins
from podium.config.schema import DatasetConfig, LinearConfig
from podium.data.infer import infer
from podium.data.prepare import prepare
from podium.entrants.linear import LINEAR, LinearSpec
from podium.errors import InputError
from podium.tasks import TASKS
from podium.tasks.base import Task
from podium.tasks.columns import Column
from podium.tasks.text_classification import TextClassification


class Sentiment(TextClassification):
    """A task as another package would define it: its labels are in the column `mood`."""

    name = "sentiment"
    title = "sentiment analysis"
    target = "mood"
    target_names = ("mood",)

    def recognises(self, columns):
        return any(column.name == "mood" for column in columns)

    def choose_target(self, columns, content, given):
        return "mood", "by its name", []


TASK = Sentiment()


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    point = EntryPoint("sentiment", f"{__name__}:TASK", "podium.tasks")
    monkeypatch.setattr(plugins, "_entry_points", lambda group: {"sentiment": point} if group == point.group else {})
    monkeypatch.setattr(TASKS, "_loaded", {})


def test_a_task_of_another_package_is_recognised_prepared_and_scored(installed: None, tmp_path: Path) -> None:
    rows = [{"text": f"text {n} is {'good' if n % 2 else 'bad'}", "mood": "+" if n % 2 else "-"} for n in range(60)]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)))
    given = {one.path[1]: one.value for one in infer(path).given.assignments if one.path[0] == "dataset"}
    assert (given["task"], given["label_column"]) == ("sentiment", "mood")
    found = prepare(DatasetConfig.model_validate(given), 13, tmp_path / "data")
    assert (found.task, found.labels) == ("sentiment", ("+", "-"))
    folders = {name: tmp_path / name for name in ("data", "output", "cache")}
    spec = LinearSpec(task=found.task, labels=found.labels, config=LinearConfig(), metric="macro_f1", seed=1, **folders)
    assert LINEAR.train(spec).metrics["macro_f1"] == 1.0


def test_a_task_that_is_not_installed_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="'multi-label'"):
        DatasetConfig(name="x", path="x", task="sentiment")


def test_a_task_without_rules_for_its_target_takes_the_column_of_the_usual_name() -> None:
    class Bare(TextClassification):
        choose_target = Task.choose_target
        target_names = ("topic",)

    assert Bare().choose_target([Column("a"), Column("Topic")], "a", None) == ("Topic", "by its name", ())
    assert Bare().choose_target([Column("a"), Column("b")], "a", "b") == ("b", "given", ())
    with pytest.raises(InputError, match="--label-column"):
        Bare().choose_target([Column("a"), Column("b")], "a", None)
