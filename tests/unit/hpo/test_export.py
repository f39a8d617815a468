from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
import yaml

from podium.errors import InputError
from podium.hpo.description import StudyAbout
from podium.hpo.experiment import Experiment
from podium.hpo.export import export_study
from podium.katib.experiment import from_katib, to_katib
from podium.records import TrialRecord

from .support import experiment
from .test_tables import TRIALS, study

EXAMPLE = Path(__file__).parents[1] / "katib" / "examples" / "random.yaml"


def test_csv_has_a_row_for_every_trial_and_a_column_for_all_there_is() -> None:
    text = export_study(study(*TRIALS), "csv").decode()
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["number"] for row in rows] == ["0", "1", "2", "3", "4"]
    assert [row["status"] for row in rows] == ["succeeded", "succeeded", "failed", "pruned", "running"]
    assert rows[1]["fold.0"] == "0.7" and rows[0]["fold.0"] == ""
    assert rows[1]["fold.1.accuracy"] == "0.7"
    assert rows[0]["param.learning_rate"] == "0.001"
    columns = list(rows[0])
    assert columns[:4] == ["number", "status", "score", "param.batch_size"]
    assert columns.index("fold.1") < columns.index("fold.0.accuracy") < columns.index("started_at")


def test_a_study_without_trials_is_a_heading() -> None:
    assert export_study(study(), "csv") == b"number,status,score\n"


def test_parquet_keeps_types_and_takes_choices_of_several_types() -> None:
    from pyarrow import parquet

    mixed = tuple(
        TrialRecord(number=number, params={"layers": value, "size": size}, status="succeeded", score=0.5)
        for number, (value, size) in enumerate([(1, 2), ("all", 2.5)])
    )
    found = parquet.read_table(io.BytesIO(export_study(study(*mixed), "parquet"))).to_pylist()
    assert [row["param.layers"] for row in found] == ["1", "all"]
    assert [row["param.size"] for row in found] == [2.0, 2.5]
    assert [row["number"] for row in found] == [0, 1]


def test_json_holds_whole_records() -> None:
    body = json.loads(export_study(study(*TRIALS), "json"))
    assert Experiment.model_validate(body["experiment"]) == experiment()
    assert tuple(TrialRecord.model_validate(item) for item in body["trials"]) == TRIALS


def test_a_study_of_a_katib_file_is_written_as_one() -> None:
    katib = from_katib(EXAMPLE.read_text())
    exported = export_study(study(about=StudyAbout(source="random.yaml", katib=to_katib(katib))), "katib")
    assert from_katib(exported.decode()) == katib
    assert yaml.safe_load(exported)["kind"] == "Experiment"
    with pytest.raises(InputError, match="searched backbone 'tiny'; --format json has its experiment"):
        export_study(study(), "katib")
