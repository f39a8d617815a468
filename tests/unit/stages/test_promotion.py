"""Who acts, and which decision a key names; moves themselves are tested at a real server."""

from __future__ import annotations

import getpass
import socket
from pathlib import Path

import pytest

from podium.errors import InputError
from podium.keys import Key
from podium.stages.promotion import stored_decision, who
from podium.store.store import ArtifactStore
from tests.unit.report.samples import sample

INPUTS = sample()


def test_a_run_of_kubeflow_pipelines_acts_under_its_id(monkeypatch: pytest.MonkeyPatch) -> None:
    run = INPUTS.run.model_copy(update={"tags": {"podium.kfp.run_id": "r-1"}})
    assert "@" in who(run), "kfp.local gives an id as well"
    monkeypatch.setenv("KFP_POD_NAME", "decide-7")
    assert who(run) == "kfp run r-1"


def test_on_a_laptop_the_user_acts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(getpass, "getuser", lambda: "ada")
    assert who(INPUTS.run) == who() == f"ada@{socket.gethostname()}"


def test_a_user_without_a_name_is_said_to_be_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody() -> str:
        raise OSError("no username set in the environment")

    monkeypatch.setattr(getpass, "getuser", nobody)
    assert who() == f"unknown@{socket.gethostname()}"


def test_a_decision_is_found_by_its_first_digits(tmp_path: Path) -> None:
    store = ArtifactStore(str(tmp_path))
    key, other = Key.of("decision", a=1), Key.of("selection", a=1)
    decision = INPUTS.decision.model_copy(update={"key": key.digest})
    store.put(key, decision)
    store.put(other, INPUTS.selection.model_copy(update={"key": other.digest}))
    assert stored_decision(store, key.digest[:8]) == stored_decision(store, str(key)) == decision
    with pytest.raises(InputError, match="key of a whole decision"):
        stored_decision(store, str(other))
    with pytest.raises(InputError):
        stored_decision(store, other.digest[:8])
