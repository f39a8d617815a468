"""What every kind of entrant does alike; each has a class of tests that is derived from this one."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from podium.config.entrants import ENTRANTS
from podium.config.form import RunForm
from podium.config.schema import EntrantConfig, PodiumConfig
from podium.data.artifact import DataArtifact
from podium.entrants.base import EntrantKind
from podium.entrants.train import main, read_spec
from podium.errors import DataError
from podium.evaluation.metrics import all_metrics
from podium.evaluation.predictions import Predictions
from podium.hpo.experiment import Space
from podium.hpo.trial import settings_with
from podium.inference.predictor import PredictorSpec, predict, predictor_class
from podium.models.backbone import inspect_model
from podium.stages.prepare import resolve_form
from podium.tasks import TASKS
from podium.training.launch import FitSpec, cross_validate, fold_models, fold_predictions


def config_of(task: str) -> PodiumConfig:
    """The shipped config of a run for a task."""
    preset = {"ner": "smoke-ner", "multi-label": "multi-label"}.get(task, "smoke")
    given = ("dataset.path=rows.csv",) if preset == "multi-label" else ()
    return resolve_form(RunForm(run_preset=preset, run_overrides=given), Path.cwd()).config


class EntrantConformance:
    """Subclasses name a kind, and make specs of it that train within seconds."""

    kind: EntrantKind

    @pytest.fixture
    def spec(self) -> FitSpec:
        """A refit for text classification, on rows that can be learned."""
        raise NotImplementedError

    @pytest.fixture
    def entry(self) -> EntrantConfig:
        """The entry of a config that describes the entrant of `spec`."""
        raise NotImplementedError

    def test_it_is_registered(self) -> None:
        assert ENTRANTS.get(self.kind.name) is self.kind

    def test_spec_and_settings_belong_to_it(self, spec: FitSpec) -> None:
        assert type(spec) is self.kind.spec and spec.kind == self.kind.name
        assert type(spec.config) is self.kind.settings
        assert self.kind.settings.model_config["frozen"]
        assert all(field.description for field in self.kind.settings.model_fields.values())

    @pytest.mark.parametrize("name", TASKS.names())
    def test_the_default_space_names_what_can_be_tuned(self, name: str) -> None:
        tunable = self.kind.tunable(TASKS.get(name))
        space = Space(parameters=self.kind.space_in(config_of(name)))
        assert space.parameters and not space.conditional, "Katib and most algorithms search no conditional parameters"
        assert set(space.parameters) <= set(tunable) <= set(self.kind.settings.model_fields)
        for share in (0.0, 0.3, 0.6, 1.0):
            params = space.at([share] * len(space.parameters))
            settings = settings_with(self.kind.settings(), params)
            assert {field: getattr(settings, field) for field in params} == params

    def test_a_run_gives_it_settings(self) -> None:
        config = config_of("text-classification")
        for trial in (False, True):
            assert type(self.kind.settings_in(config, trial)) is self.kind.settings
        assert self.kind.settings_in(config) == getattr(config, self.kind.section)

    def test_the_advice_without_memory_names_settings_of_the_config(self) -> None:
        config = config_of("text-classification")
        named = re.findall(r"(\w+)\.(\w+)", self.kind.memory_advice)
        assert {section for section, _ in named} == {self.kind.section, "hpo"}
        assert all(hasattr(getattr(config, section), name) for section, name in named)

    def test_a_spec_survives_json(self, spec: FitSpec) -> None:
        assert read_spec(spec.model_dump_json()) == spec

    def test_an_entry_says_what_is_trained(self, entry: EntrantConfig, spec: FitSpec) -> None:
        assert entry.kind == self.kind.name and self.kind.check_entry(entry) is None
        own = self.kind.source(entry)
        assert own == {name: getattr(spec, name) for name in own}
        assert set(own) == set(self.kind.spec.model_fields) - set(FitSpec.model_fields)
        assert json.loads(json.dumps(self.kind.identity(entry))) == self.kind.identity(entry)
        self.kind.check(spec)

    def test_a_refit_leaves_a_model_that_predicts_what_it_recorded(self, spec: FitSpec) -> None:
        result = self.kind.train(spec)
        recorded = Predictions.load(spec.output / "predictions")
        assert result.metrics == pytest.approx(all_metrics(recorded))
        assert (spec.output / "model" / "README.md").is_file()
        test = DataArtifact(spec.data).test
        variant = self.kind.variants[0]
        model = PredictorSpec(
            model_dir=spec.output / "model",
            variant=variant,
            task=spec.task,
            labels=spec.labels,
            trust_remote_code=False,
            device="cpu",
            threads=1,
        )
        predictor: Any = predictor_class(variant, model.model_dir)(model)
        again = predict(predictor, spec.task, spec.labels, test)
        assert again.ids == recorded.ids and np.array_equal(again.predicted, recorded.predicted)
        assert predictor(list(test["text"])[:5]) == again.named("predicted")[:5], "as it is deployed"
        found = inspect_model(spec.output / "model")
        assert (found.kind, found.labels, found.variants[0]) == (spec.task, spec.labels, variant)

    def test_every_variant_has_a_predictor(self, tmp_path: Path) -> None:
        assert all(callable(predictor_class(variant, tmp_path)) for variant in self.kind.variants)

    def test_equal_specs_give_equal_models(self, spec: FitSpec, tmp_path: Path) -> None:
        files = []
        for name in ("one", "two"):
            self.kind.train(spec.model_copy(update={"output": tmp_path / name}))
            paths = sorted((tmp_path / name / "model").rglob("*"))
            files.append({path.name: path.read_bytes() for path in paths if path.is_file()})
        assert files[0] == files[1]

    def test_a_fold_leaves_its_result_and_its_predictions_where_they_have_probabilities(self, spec: FitSpec) -> None:
        result = self.kind.train(spec.model_copy(update={"fold": 0}))
        assert spec.metric in result.metrics and result.seconds > 0
        expected = ["predictions"] if TASKS.get(spec.task).probabilities else []
        assert [path.name for path in spec.output.glob("*")] == expected
        if expected:
            assert all_metrics(Predictions.load(spec.output / "predictions")) == pytest.approx(result.metrics)

    def test_the_folds_predict_every_development_row_once(self, spec: FitSpec) -> None:
        cross_validate(spec, 2, (), lambda *_: None)
        if not TASKS.get(spec.task).probabilities:
            return
        parts = [Predictions.load(fold_predictions(spec.output, fold)) for fold in range(2)]
        assert sorted(Predictions.joined(parts).ids) == sorted(DataArtifact(spec.data).development["id"])

    def test_cross_validation_scores_every_fold_and_keeps_its_models(self, spec: FitSpec) -> None:
        found: dict[int, Any] = {}
        cross_validate(spec.model_copy(update={"keep_model": True}), 2, (), found.__setitem__)
        assert sorted(found) == [0, 1]
        assert all((fold_models(spec.output) / f"fold-{fold}" / "README.md").is_file() for fold in found)

    def test_data_of_other_labels_is_refused(self, spec: FitSpec) -> None:
        with pytest.raises(DataError, match="must have the task and labels"):
            self.kind.train(spec.model_copy(update={"labels": ("a", "b")}))

    def test_the_program_leaves_a_result_or_an_error(self, spec: FitSpec, tmp_path: Path) -> None:
        file, result = tmp_path / "spec.json", tmp_path / "result.json"
        command = ["--spec", str(file), "--result", str(result)]
        file.write_text(spec.model_copy(update={"fold": 0}).model_dump_json())
        assert main(command) == 0
        assert set(json.loads(result.read_text())["result"]["metrics"]) == {"accuracy", "macro_f1", "log_loss"}
        file.write_text(spec.model_copy(update={"labels": ("a", "b")}).model_dump_json())
        assert main(command) == 2
        assert json.loads(result.read_text())["error"]["type"] == "DataError"

    def test_a_refit_is_settled_with_the_settings_of_the_trial(self, spec: FitSpec) -> None:
        assert self.kind.settled(spec.config, [{"epoch": 1.0}, {"epoch": 2.0}]) == spec.config
        assert type(self.kind.reporting(spec.config)) is self.kind.settings
