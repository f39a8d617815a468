from __future__ import annotations

import os
import signal

import pytest

from podium.stages.step import step_context


def test_sigterm_stops_the_step_and_its_handler_is_as_before_afterwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_STEP", "")
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit), step_context("prepare"):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is before
