from __future__ import annotations

from pathlib import Path

import pytest

from podium.errors import InputError, ModelError
from podium.local.models import locate
from tests.unit.models.test_backbone import model


def test_a_directory_is_named_after_itself_and_known_by_its_files(tmp_path: Path) -> None:
    model(tmp_path / "my model")
    found = locate("my model", tmp_path, "store", "sqlite:///x.db", tmp_path)
    assert (found.name, found.path) == ("my-model", tmp_path / "my model")
    (tmp_path / "my model" / "tokenizer.json").write_text("{} ")
    assert locate("my model", tmp_path, "store", "sqlite:///x.db", tmp_path).digest != found.digest


@pytest.mark.parametrize("reference", ["models:/reviews", "models:/reviews@", "models:/reviews/latest"])
def test_a_registered_model_needs_alias_or_version(tmp_path: Path, reference: str) -> None:
    with pytest.raises(InputError, match="NAME@alias or NAME/VERSION"):
        locate(reference, tmp_path, "store", "sqlite:///x.db", tmp_path)


def test_a_registry_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    database = tmp_path / "mlflow.db"
    with pytest.raises(InputError, match="does not exist, so there is no reviews@champion"):
        locate("reviews@champion", tmp_path, "store", f"sqlite:///{database}", tmp_path)
    assert not database.exists()


def test_a_path_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="does not exist"):
        locate("./absent", tmp_path, "store", "sqlite:///x.db", tmp_path)


def test_a_file_is_no_model(tmp_path: Path) -> None:
    (tmp_path / "model.bin").touch()
    with pytest.raises(ModelError, match="must be a directory"):
        locate("./model.bin", tmp_path, "store", "sqlite:///x.db", tmp_path)
