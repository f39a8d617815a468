from pathlib import Path

import pytest

from podium.components.evaluation.profile.component import profile
from podium.records import ProfileRecord

pytestmark = pytest.mark.integration


def test_a_profile_that_nobody_asked_for_is_skipped(in_smoke_folder, run_artifact, handed_over, output) -> None:
    made, page = output("profile"), output("page")
    profile.python_func(
        run=run_artifact,
        data=handed_over("prepare"),
        measurements=handed_over("benchmark"),
        decision=handed_over("decide"),
        profile=made,
        page=page,
    )
    record = ProfileRecord.read(made.path)
    assert record == ProfileRecord.read(in_smoke_folder.record("profile"))
    assert (record.status, record.code) == ("skipped", "OFF")
    assert "profile.tools" in Path(page.path).read_text()
