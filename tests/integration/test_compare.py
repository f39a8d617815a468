"""`podium compare` over two models that `podium benchmark` really measured."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from conftest import Finished, podium, podium_here
from podium.records import MeasurementRecord
from podium.store.store import ArtifactStore
from tests.integration.small_models import LABELS, save_linear

pytestmark = pytest.mark.integration

SETTINGS = ("samples=20", "repetitions=2", "max_seconds=2", "throughput_batch_size=8", "threads=1")
OPTIONS = [part for setting in SETTINGS for part in ("--set", setting)]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with a store in it, and the keys of a model and of one that is larger.

    Only the size is sure to differ on a machine that does other things, too.
    """
    folder = tmp_path_factory.mktemp("compared")
    for name in ("small", "large"):
        save_linear(folder / name)
    (folder / "large" / "notes.txt").write_text(" " * 8_000)
    said = "the minister said that prices rose again "
    rows = [{"text": said * (5 + number // 2), "label": LABELS[number % len(LABELS)]} for number in range(60)]
    (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    done = podium(folder, "benchmark", "small", "large", "--data", "rows.jsonl", "--device", "cpu", *OPTIONS)
    assert done.code == 0, done.output
    store = ArtifactStore(str(folder / "podium-out" / "store"))
    found = {}
    for _, digest in store.find("measurement/"):
        record = store.get(MeasurementRecord, digest)
        assert record is not None
        found[record.measurement.entrant] = digest
    return folder, [found["small"][:16], found["large"][:16]]


def compared(measured: tuple[Path, list[str]], *arguments: str) -> Finished:
    folder, keys = measured
    return podium_here(folder, "compare", *keys, *arguments)


def test_what_is_larger_is_really_worse_and_fails_the_build(measured: tuple[Path, list[str]]) -> None:
    done = compared(measured, "--fail-if", "size > 2 * baseline")
    assert done.code == 3, done.output
    assert "FAIL  " in done.output
    assert "really worse" in done.output


def test_what_holds_passes_and_what_cannot_be_told_is_not_judged(measured: tuple[Path, list[str]]) -> None:
    assert compared(measured, "--fail-if", "size > 9 * baseline").code == 0
    done = compared(measured, "--fail-if", "size > 9 * baseline", "--fail-if", "p99 > baseline")
    assert done.code == 4, done.output
    assert re.search(r"it needs 1000 samples, and there are \d\d\b", done.output)


def test_a_check_that_cannot_be_read_is_bad_input(measured: tuple[Path, list[str]]) -> None:
    done = compared(measured, "--fail-if", "p50 > baselin")
    assert done.code == 2
    assert "column 7: there is no quantity 'baselin'; did you mean baseline?" in done.output


def test_the_comparison_is_written_as_json_and_as_a_page(measured: tuple[Path, list[str]]) -> None:
    folder, keys = measured
    assert compared(measured, "-o", "json", "--file", "compared.json").code == 0
    found = json.loads((folder / "compared.json").read_text())
    assert [run["name"] for run in found["runs"]] == keys
    p50 = next(row for row in found["rows"] if row["name"] == "p50")
    change = p50["differences"][0]["change"]
    assert change["low"] < change["value"] < change["high"]
    assert change["method"] == "bootstrap of repetitions in pairs, Student's t"
    assert "were taken in turns" in found["runs"][1]["notes"][-1]
    assert p50["differences"][0]["real"] is not None
    assert compared(measured, "-o", "html", "--file", "compared.html").code == 0
    assert (folder / "compared.html").read_text().count('<section id="') == 5
