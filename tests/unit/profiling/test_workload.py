"""The workload of a profile: one spec, the same for every tool."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from podium.errors import InputError
from podium.profiling import workload as module
from podium.profiling.commands import script, write_command
from podium.profiling.workload import (
    PredictorSubject,
    PromptedSubject,
    Ranges,
    Timings,
    Workload,
    argv,
    batches,
    main,
    ranges,
    read,
)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "elsewhere" / "rows.jsonl"
    path.parent.mkdir()
    path.write_text("".join(json.dumps(row) + "\n" for row in ("a b c", "d", "e f")))
    return path


def synthetic(rows: Path, **fields: object) -> Workload:
    return Workload(kind="synthetic", rows=str(rows), iterations=3, warmup=1, batch_size=2, **fields)


def spec_of(workload: Workload, directory: Path) -> Path:
    path = directory / "workload.json"
    path.write_text(workload.model_dump_json())
    return path


def test_an_argument_is_added_only_for_an_override_with_a_value(tmp_path: Path) -> None:
    found = argv(tmp_path / "workload.json", {"output": "/else/where", "model": "", "iterations": None, "warmup": 0})
    assert found == [
        *(sys.executable, "-m", "podium.profiling.workload", str(tmp_path / "workload.json")),
        *("output=/else/where", "warmup=0"),
    ]


def test_overrides_replace_fields_and_the_rest_stays(tmp_path: Path, rows: Path) -> None:
    mine = Workload(model="/models/mine", rows=str(rows), task="ner", batch_size=7)
    found = read(spec_of(mine, tmp_path), ["model=/models/other", "iterations=9"])
    assert found == mine.model_copy(update={"model": "/models/other", "iterations": 9, "output": str(tmp_path)})


@pytest.mark.parametrize("override", ["iterations", "speed=3", "iterations=none", "rows=here.jsonl"])
def test_a_wrong_override_is_refused(tmp_path: Path, rows: Path, override: str) -> None:
    with pytest.raises(InputError, match=r"must be a workload to profile"):
        read(spec_of(synthetic(rows), tmp_path), [override])


def test_paths_are_absolute_and_only_the_synthetic_module_has_no_model(rows: Path) -> None:
    with pytest.raises(ValidationError, match="absolute"):
        Workload(model="models/mine", rows=str(rows))
    with pytest.raises(ValidationError, match="a model must be given"):
        Workload(rows=str(rows))
    with pytest.raises(ValidationError, match="a model must be given"):
        synthetic(rows, model="/models/mine")


@pytest.mark.parametrize("text", ["", "not json\n"])
def test_rows_that_cannot_be_read_are_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(text)
    with pytest.raises(InputError, match=r"rows\.jsonl"):
        synthetic(path).read_rows()


def test_batches_take_the_rows_in_order_and_again(rows: Path) -> None:
    endless = batches(synthetic(rows))
    assert [next(endless) for _ in range(3)] == [["a b c", "d"], ["e f", "a b c"], ["d", "e f"]]


def test_a_whole_run_opens_every_range_as_often_as_expected(
    tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    def annotate(name: str) -> nullcontext[None]:
        shown.append(name)
        return nullcontext()

    monkeypatch.setattr(module, "_annotate", lambda: annotate)
    assert main([str(spec_of(synthetic(rows), tmp_path)), f"output={tmp_path / 'there'}"]) == 0
    timings = Timings.model_validate_json((tmp_path / "there" / "timings.json").read_text())
    assert timings.counts == ranges(synthetic(rows)) == {"load": 1, "tokenise": 3, "forward": 3, "postprocess": 3}
    assert len(timings.iterations) == 3
    assert shown == ["load", *["tokenise", "forward", "postprocess"] * 3]


@pytest.mark.parametrize("kind", ["generation", "prompted"])
def test_ranges_of_generation(rows: Path, kind: Any) -> None:
    mine = Workload(model="/m", kind=kind, rows=str(rows), iterations=2)
    assert ranges(mine) == {"load": 1, "tokenise": 2, "prefill": 2, "decode": 2, "postprocess": 2}


def test_without_nvtx_ranges_are_timed_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_annotate", lambda: None)
    opened = Ranges()
    with opened("load"):
        pass
    assert list(opened.seconds) == ["load"]


def test_a_wrong_call_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main([str(tmp_path / "none.json")]) == 2
    assert "none.json must be a workload" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("calls", "read", "written"),
    [
        ([5, 9, 1, 1, 1], 2, 3),
        ([1, 1, 1], 1, 2),  # A prompt of which only the last token is not shared.
        ([5, 1, 7, 1], 1, 3),
        ([5], 1, 0),
    ],
)
def test_a_prompted_model_reads_prompts_and_writes_tokens_in_ranges(calls: list[int], read: int, written: int) -> None:
    now, during = "", []

    @contextmanager
    def ranges(name: str) -> Iterator[None]:
        nonlocal now
        opened.append(name)
        before, now = now, name
        yield
        now = before

    class Model:
        def continued(self, ids: Any, real: Any, cache: Any) -> None:
            during.append(now)

    class Prompted:
        model = Model()

        def encode(self, rows: list[str]) -> list[str]:
            return rows

        def forward(self, encoded: list[str]) -> list[str]:
            for size in calls:
                self.model.continued(np.zeros((2, size)), None, None)
            return encoded

        def answers(self, rows: list[str], encoded: list[str], outputs: list[str]) -> list[str]:
            return outputs

    opened: list[str] = []
    assert PromptedSubject(Prompted())(["a"], ranges) == ["a"]
    assert opened == ["tokenise", "prefill", "decode", "postprocess"]
    assert during == ["prefill"] * read + ["decode"] * written
    assert "continued" not in vars(Prompted.model), "the model is as it was"


def test_a_predictor_runs_its_three_parts_in_ranges() -> None:
    class Halves:
        def encode(self, rows: list[str]) -> list[int]:
            return [len(row) for row in rows]

        def forward(self, encoded: list[int]) -> list[float]:
            return [size / 2 for size in encoded]

        def answers(self, rows: list[str], encoded: list[int], outputs: list[float]) -> list[object]:
            return list(zip(rows, encoded, outputs, strict=True))

    opened = Ranges()
    assert PredictorSubject(Halves())(["ab", "c"], opened) == [("ab", 2, 1.0), ("c", 1, 0.5)]  # type: ignore[arg-type]
    assert list(opened.seconds) == ["tokenise", "forward", "postprocess"]


def test_a_command_runs_from_its_directory(tmp_path: Path) -> None:
    made = ["/bin/sh", "-c", 'echo "$NAME" in "$PWD"']
    assert script(made, tmp_path, {"NAME": "a b"}) == (
        f"cd {tmp_path} &&\nNAME='a b' \\\n  /bin/sh -c 'echo \"$NAME\" in \"$PWD\"'\n"
    )
    write_command(tmp_path, made, [*made, "again"], tmp_path, {"NAME": "a b"}, {"sh": "1"})
    about = json.loads((tmp_path / "cmd.json").read_text())
    assert about["argv"] == made and about["environment"] == {"NAME": "a b"} and about["versions"] == {"sh": "1"}
    assert "again" in (tmp_path / "cmd-rerun.txt").read_text()
