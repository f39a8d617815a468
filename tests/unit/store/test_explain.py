"""Why a key is what it is, as a user reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from podium.errors import InputError
from podium.keys import Key
from podium.records import ReportRecord, SelectionRecord
from podium.store.explain import explain_difference, explain_key
from podium.store.store import ArtifactStore


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    return ArtifactStore(str(tmp_path / "store"))


def put(store: ArtifactStore, **parts: Any) -> str:
    key = Key.of("report", **parts)
    store.put(key, ReportRecord(key=key.digest, summary={}))
    return key.digest


def test_a_key_is_explained_by_its_parts(store: ArtifactStore) -> None:
    digest = put(store, seed=13, training={"rate": 1e-4, "name": "ä"}, files={"a.csv": "00"}, folds=[1, 2], none=[])
    assert explain_key(store, digest[:12]).splitlines() == [
        f"report/{digest}",
        '  files["a.csv"]: "00"',
        "  folds[0]: 1",
        "  folds[1]: 2",
        "  none: []",
        "  seed: 13",
        '  training.name: "ä"',
        "  training.rate: 0.0001",
    ]


def test_a_difference_names_the_nested_part_and_both_values(store: ArtifactStore) -> None:
    a = put(store, seed=13, hpo={"space": {"rate": {"high": 0.1, "low": 0.01}}}, layers=[1, 2], only_a=True)
    b = put(store, seed=13, hpo={"space": {"rate": {"high": 0.2, "low": 0.01}}}, layers=[1, 2, 3])
    assert explain_difference(store, a, f"report/{b[:20]}").splitlines() == [
        f"a: report/{a}",
        f"b: report/{b}",
        "  hpo.space.rate.high: a = 0.1, b = 0.2",
        "  only_a: a = true, b = (absent)",
        "  layers[2]: a = (absent), b = 3",
    ]


def test_equal_looking_values_of_different_type_differ(store: ArtifactStore) -> None:
    text = explain_difference(store, put(store, value=1), put(store, value="1"))
    assert text.endswith('  value: a = 1, b = "1"')


def test_results_of_different_kind_say_so(store: ArtifactStore) -> None:
    key = Key.of("selection", seed=13)
    store.put(key, SelectionRecord(key=key.digest, metric="f1", leaderboard=(), comparisons=()))
    text = explain_difference(store, put(store, seed=13), key.digest)
    assert text.splitlines()[2:] == ["  the kinds differ: a is report, b is selection"]


def test_a_key_compared_with_itself_says_so(store: ArtifactStore) -> None:
    digest = put(store, seed=13)
    assert "nothing differs" in explain_difference(store, digest, digest[:10])


def test_a_prefix_of_nothing_is_refused(store: ArtifactStore) -> None:
    put(store, seed=13)
    with pytest.raises(InputError, match="it holds 1 results"):
        explain_key(store, "f" * 40)
