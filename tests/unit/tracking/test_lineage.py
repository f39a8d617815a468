"""What lineage says of links whose other end is not recorded, on runs that are held in memory."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from podium.tracking import Tracker, base
from podium.tracking.base import TrackedInput, TrackedModel, TrackedRun
from podium.tracking.lineage import Node, lineage, render

REFIT, STUDY, DATA = "f" * 64, "5" * 64, "d" * 64
RUN = "0" * 32


class Recorded(Tracker):
    """A tracker with these runs, one model and one text file."""

    def __init__(self, *runs: TrackedRun, model: TrackedModel | None = None, text: str | None = None) -> None:
        self.recorded, self.model, self.text = runs, model, text

    def run(self, run_id: str) -> TrackedRun | None:
        return next((run for run in self.recorded if run.run_id == run_id), None)

    def runs(self, tags: Mapping[str, str]) -> list[TrackedRun]:
        return [run for run in self.recorded if tags.items() <= run.tags.items()]

    def registered(self, model_name: str, selector: str = base.CHAMPION) -> TrackedModel | None:
        return self.model if self.model and model_name == self.model.name else None

    def read_text(self, run_id: str, file: str) -> str | None:
        return self.text


def run(kind: str, key: str, *inputs: TrackedInput, **tags: str) -> TrackedRun:
    own = {base.TAG_KIND: kind, base.TAG_KEY: key, **{name.replace("_", "."): value for name, value in tags.items()}}
    return TrackedRun(RUN, kind, "FINISHED", own, {}, {}, inputs)


def data(**profile: object) -> TrackedInput:
    return TrackedInput("news", DATA[:36], "file:news.csv", {"rows": {"train": 7}, **profile})


def missing(nodes: list[Node]) -> dict[str, str]:
    return {node.kind: node.missing for node in nodes if node.missing}


def test_a_version_that_names_no_refit():
    version = TrackedModel("theirs", "1", "", ("champion",), {})
    nodes = lineage(Recorded(model=version), "theirs")
    assert missing(nodes) == {"refit": "version 1 carries no tag podium.model.key"}
    assert render(nodes).splitlines()[:2] == ["model theirs version 1 (champion)", "    digest unknown"]


def test_a_result_that_names_nothing_it_was_made_from():
    nodes = lineage(Recorded(run("refit", REFIT)), RUN)
    assert missing(nodes) == {"parent": f"run {RUN} names nothing that it was made from"}


def test_a_refit_that_does_not_name_its_trial():
    nodes = lineage(Recorded(run("refit", REFIT, podium_parent_study=STUDY)), RUN)
    assert missing(nodes)["trial"] == f"run {RUN} carries no tag podium.trial"


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ((), f"run {RUN} has no recorded input, so the digests of its files are unknown"),
        ((data(),), "the list of file digests (never recorded) is not there"),
        ((data(sources_file="inputs/d.json"),), "the list of file digests (inputs/d.json) is not there"),
    ],
)
def test_data_whose_files_are_not_recorded(inputs, said):
    assert missing(lineage(Recorded(run("data", DATA, *inputs)), RUN)) == {"data": said}


def test_only_the_first_twenty_of_many_files_are_shown():
    files = {f"part-{number:02d}.csv": f"{number:064x}" for number in range(23)}
    tracker = Recorded(run("data", DATA, data(sources_file="inputs/d.json")), text=json.dumps(files))
    (node,) = lineage(tracker, RUN)
    assert dict(node.files) == files and node.missing is None
    lines = render([node]).splitlines()
    assert lines[-2].endswith("  part-19.csv") and lines[-1] == "    and 3 more files"
