from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest

from podium.errors import StoreError
from podium.hpo.ledger import TrialLedger
from podium.store.files import DocumentFolder
from podium.store.store import ArtifactStore

from .conformance import PARAMS
from .conformance_ledger import LedgerContract


class TestFileLedger(LedgerContract):
    def open(self, place: Path) -> DocumentFolder:
        return ArtifactStore(str(place / "store")).documents("studies/abc")

    def test_bytes_that_are_no_text_count_as_damage(
        self, ledger: TrialLedger, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        ledger.finish(ledger.begin(0, PARAMS), 0.5)
        (path,) = tmp_path.rglob("trial-000000.1.json")
        path.write_bytes(b"\xff\xfe\x00")
        with caplog.at_level(logging.WARNING):
            assert ledger.trials() == ()
        assert "trial 0 counts as not finished" in caplog.text

    def test_storage_that_fails_is_no_damage(self, ledger: TrialLedger, tmp_path: Path) -> None:
        ledger.finish(ledger.begin(0, PARAMS), 0.5)
        (path,) = tmp_path.rglob("trial-000000.1.json")
        path.unlink()
        path.mkdir()
        with pytest.raises(StoreError):
            ledger.trials()

    def test_it_can_be_sent_to_a_worker(self, ledger: TrialLedger) -> None:
        claim = ledger.begin(0, PARAMS)
        elsewhere: TrialLedger = pickle.loads(pickle.dumps(ledger))
        elsewhere.fold_finished(pickle.loads(pickle.dumps(claim)), 0, 0.5, {}, 1.0)
        assert ledger.trials()[0].fold_scores == {"0": 0.5}


class TestMemoryLedger(LedgerContract):
    @pytest.fixture(autouse=True)
    def empty_memory(self) -> Iterator[None]:
        import fsspec

        yield
        fsspec.filesystem("memory").store.clear()

    def open(self, place: Path) -> DocumentFolder:
        return ArtifactStore(f"memory://{place.name}").documents("studies/abc")
