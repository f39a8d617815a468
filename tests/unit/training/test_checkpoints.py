from __future__ import annotations

from pathlib import Path

import pytest

from podium.training.checkpoints import Checkpoints


def write(checkpoints: Checkpoints, step: int) -> Path:
    with checkpoints.writing(step):
        folder = checkpoints.partial / f"checkpoint-{step}"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"x" * step)
    return checkpoints.newest() or Path()


def test_newest_is_kept(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    assert checkpoints.newest() is None
    write(checkpoints, 9)
    assert write(checkpoints, 10).name == "checkpoint-10"
    assert [path.name for path in (tmp_path / "c").glob("checkpoint-*")] == ["checkpoint-10"]


def test_half_written_checkpoint_is_not_resumed_from(tmp_path: Path) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    whole = write(checkpoints, 5)
    with pytest.raises(KeyboardInterrupt), checkpoints.writing(10):
        folder = checkpoints.partial / "checkpoint-10"
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"half")
        raise KeyboardInterrupt
    assert Checkpoints(tmp_path / "c", "mine").newest() == whole
    assert write(checkpoints, 10).name == "checkpoint-10", "what was left half written must not be in the way"


def test_cut_short_damaged_or_foreign_checkpoint_is_removed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    checkpoints = Checkpoints(tmp_path / "c", "mine")
    (write(checkpoints, 5) / "model.safetensors").write_bytes(b"x")
    assert checkpoints.newest() is None and "not those that were written" in caplog.text
    (write(checkpoints, 5) / "model.safetensors").write_bytes(b"xxyxx")
    assert checkpoints.newest() is None
    write(checkpoints, 6)
    assert Checkpoints(tmp_path / "c", "other").newest() is None and "belongs to a training with other" in caplog.text
    assert checkpoints.newest() is None
