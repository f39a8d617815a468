"""What every tracker that records does with models: versions, aliases, moves, and the way back to the data."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from podium.errors import InputError, TrackingError
from podium.keys import digest_tree
from podium.records import ModelRecord, rollback_target, withdrawn
from podium.tracking import Tracker
from podium.tracking.base import TAG_FILES, TAG_PROFILE, TAG_TRIAL
from podium.tracking.lineage import lineage, render
from tests.unit.tracking.conformance import Conformance, fresh, held, keyed
from tests.unit.tracking.support import data_record, model_record, trial_record


class ModelConformance(Conformance):
    """Holds for trackers that record models."""

    def test_a_model_is_recorded_without_its_weights(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        model = model_record(fresh())
        step = tracker.open_step(tracker.open_run("run", {}), "refit", keyed("refit", model.key))
        model_id = tracker.log_model(step, model, "s3://key:secret@bucket/store")
        assert tracker.log_model(step, model, "s3://key:secret@bucket/store") == model_id
        client = MlflowClient(uri, registry_uri=uri)
        logged = client.get_logged_model(model_id)
        assert (logged.source_run_id, str(logged.status), logged.model_type) == (step, "READY", "text-classification")
        assert logged.tags["podium.model.key"] == model.key and logged.tags["podium.store"] == "s3://***@bucket/store"
        assert {metric.key: metric.value for metric in logged.metrics}["macro_f1"] == 0.875
        found = client.get_run(step)
        assert [output.model_id for output in found.outputs.model_outputs] == [model_id]
        assert found.data.tags["podium.trial"] == "1"

    def test_promotion_moves_the_alias_and_keeps_the_previous(self, tracker: Tracker, weights: Path) -> None:
        name, models, (first, second, third) = self.three_versions(tracker, weights)
        decision = models[0].key[::-1]
        incumbent = tracker.incumbent(name)
        assert incumbent is not None
        assert incumbent.model_dump() == {
            "name": name,
            "version": first,
            "model_digest": models[0].artifacts["model"].digest,
            "model_key": models[0].key,
            "metric": "macro_f1",
            "score": 0.875,
            "decision_key": decision,
            "variant": "eager",
            "files_digest": models[0].artifacts["model"].digest,
            "trust_remote_code": False,
        }
        tracker.set_challenger(name, second)
        assert tracker.incumbent(name) == incumbent
        tracker.move_champion(name, second, how="decided", by="a@b", reason="better")
        assert held(tracker, name) == {"champion": second, "previous": first}
        tracker.set_challenger(name, third)
        assert held(tracker, name) == {"champion": second, "previous": first, "challenger": third}
        assert [item.version for item in tracker.versions(models[1].key)] == [second]

    def test_a_model_is_registered_once_and_its_profile_is_named_later(self, tracker: Tracker, weights: Path) -> None:
        name, models, versions = self.three_versions(tracker, weights)
        run = tracker.open_run("again", {})
        assert tracker.register(name, run, weights, models[1]) == versions[1]
        step = tracker.open_step(run, "profile", keyed("profile", key := fresh()))
        tracker.tag_version(name, versions[0], {TAG_PROFILE: key})
        profiles = [
            [node.run_id for node in lineage(tracker, f"{name}/{version}") if node.kind == "profile"]
            for version in versions[:2]
        ]
        assert profiles == [[step], []]

    def test_another_variant_of_a_model_is_a_version_of_its_own(self, tracker: Tracker, weights: Path) -> None:
        name, models, versions = self.three_versions(tracker, weights)
        run = tracker.open_run("again", {})
        other = tracker.register(name, run, weights, models[1], variant="onnx")
        assert other not in versions
        assert tracker.register(name, run, weights, models[1], variant="onnx") == other
        assert tracker.register(name, run, weights, models[1]) == versions[1]
        found = tracker.registered(name, other)
        assert found is not None and found.tags["podium.variant"] == "onnx"

    def test_a_rollback_from_a_variant_goes_to_another_one_of_the_same_refit(
        self, tracker: Tracker, weights: Path
    ) -> None:
        name, models, (_, second, _) = self.three_versions(tracker, weights)
        digest, tags = models[1].artifacts["model"].digest, {TAG_FILES: fresh()}
        model = models[1].model_copy(update={"trust_remote_code": True})
        onnx = tracker.register(name, tracker.open_run("again", {}), weights, model, variant="onnx", tags=tags)
        for version in (second, onnx):
            tracker.move_champion(name, version, how="decided", by="run", reason="better")
        found = tracker.incumbent(name)
        assert found is not None
        assert (found.version, found.variant, found.files_digest) == (onnx, "onnx", tags[TAG_FILES])
        assert found.trust_remote_code, "what its training was allowed travels with the model"
        assert [move.after_model for move in tracker.moves(name)][1:] == [digest, f"{digest}+onnx"]
        target = rollback_target(tracker.moves(name))
        assert target is not None and target.after == second
        tracker.move_champion(name, second, how="rollback", by="me@host", reason="it loses names")
        assert list(withdrawn(tracker.moves(name))) == [f"{digest}+onnx"]

    def test_the_champions_of_all_pages_are_listed(
        self, tracker: Tracker, uri: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from mlflow import MlflowClient

        client, search = MlflowClient(uri, registry_uri=uri), MlflowClient.search_registered_models
        run = tracker.open_run("run", {})
        names = [f"page-{fresh()[:8]}" for _ in range(4)]
        for name in names:
            client.create_registered_model(name)
            client.create_model_version(name, client.get_run(run).info.artifact_uri, run)
        for name in names[1:]:
            client.set_registered_model_alias(name, "champion", "1")

        def by_two(client: MlflowClient, max_results: int = 2, page_token: str | None = None) -> object:
            return search(client, max_results=2, page_token=page_token)

        monkeypatch.setattr(MlflowClient, "search_registered_models", by_two)
        found = [one.name for one in tracker.champions()]
        assert [name for name in found if name in names] == sorted(names[1:])

    def test_moving_to_the_champion_changes_nothing(self, tracker: Tracker, weights: Path) -> None:
        name, _, (first, *_) = self.three_versions(tracker, weights)
        tracker.move_champion(name, first, how="forced", by="a@b", reason="again")
        assert len(tracker.moves(name)) == 1
        assert held(tracker, name) == {"champion": first}

    def test_every_move_is_kept_with_who_and_why(self, tracker: Tracker, weights: Path) -> None:
        name, models, (first, second, _) = self.three_versions(tracker, weights)
        tracker.move_champion(name, second, how="forced", by="me@host", reason="the review, § 4: <ok>")
        tracker.move_champion(name, first, how="rollback", by="you@host", reason="it answers too slowly")
        decision = models[0].key[::-1]
        assert [(m.how, m.before, m.after, m.by, m.reason, m.decision, m.state) for m in tracker.moves(name)] == [
            ("decided", "", first, "run", "the first", decision, "done"),
            ("forced", first, second, "me@host", "the review, § 4: <ok>", "", "done"),
            ("rollback", second, first, "you@host", "it answers too slowly", "", "done"),
        ]
        assert [move.after_model for move in tracker.moves(name)] == [
            models[place].artifacts["model"].digest for place in (0, 1, 0)
        ]
        assert held(tracker, name) == {"champion": first, "previous": second}

    def test_a_registered_model_comes_back_byte_for_byte(self, tracker: Tracker, weights: Path, tmp_path: Path) -> None:
        name, _, (_, second, _) = self.three_versions(tracker, weights)
        found = tracker.download_model(name, second, tmp_path / "downloaded")
        assert digest_tree(found) == digest_tree(weights)

    @staticmethod
    def three_versions(tracker: Tracker, weights: Path) -> tuple[str, list[ModelRecord], list[str]]:
        """A registered model, what its versions were made from, and their numbers; the first is the champion."""
        name = f"it's news-{fresh()[:8]}"
        run, models = tracker.open_run("run", {}), [model_record(fresh(), fresh()) for _ in range(3)]
        tags = {"podium.decision": models[0].key[::-1]}
        steps = [tracker.open_step(run, "refit", keyed("refit", model.key)) for model in models]
        versions = [
            tracker.register(name, step, weights, model, tags=tags) for step, model in zip(steps, models, strict=True)
        ]
        tracker.move_champion(
            name, versions[0], how="decided", by="run", reason="the first", decision=tags["podium.decision"]
        )
        return name, models, versions

    def test_a_model_whose_run_is_not_recorded_here_is_registered_all_the_same(
        self, tracker: Tracker, weights: Path
    ) -> None:
        name, model = f"news-{fresh()[:8]}", model_record(fresh())
        version = tracker.register(name, "0123456789abcdef" * 2, weights, model)
        tracker.move_champion(name, version, how="decided", by="a@b", reason="the first")
        text = render(lineage(tracker, name))
        assert f"MISSING: no run at {tracker.uri} has podium.key = {model.key}" in text

    def test_a_champion_of_unknown_making_is_refused(self, tracker: Tracker, uri: str) -> None:
        from mlflow import MlflowClient

        run = tracker.open_run("run", {})
        name = f"theirs-{fresh()[:8]}"
        client = MlflowClient(uri, registry_uri=uri)
        client.create_registered_model(name)
        client.create_model_version(name, client.get_run(run).info.artifact_uri, run)
        assert tracker.incumbent(name) is None
        client.set_registered_model_alias(name, "champion", "1")
        with pytest.raises(TrackingError, match=r"lacks podium\.model\.digest.*tracking\.model_name="):
            tracker.incumbent(name)

    def test_the_chain_leads_from_the_model_to_its_data_files_and_back(self, tracker: Tracker, weights: Path) -> None:
        chain = self.chain(tracker, weights)
        nodes = lineage(tracker, chain["name"])
        kinds = [(node.depth, node.kind, node.missing) for node in nodes]
        assert kinds == [
            (0, "model", None),
            (1, "decision", None),
            (1, "refit", None),
            (2, "trial", None),
            (3, "study", None),
            (4, "data", None),
            (3, "data", None),
        ]
        data = nodes[5]
        assert data.files == chain["data"].sources
        text = render(nodes)
        assert f"sha256 {1:064x}  part-0001.csv" in text and "(champion)" in text and "verdict PROMOTE" in text
        for what in (f"{chain['name']}@champion", f"{chain['name']}/1"):
            assert lineage(tracker, what) == nodes
        assert [n.kind for n in lineage(tracker, chain["refit_run"])] == ["refit", "trial", "study", "data", "data"]
        forward = [(node.depth, node.kind) for node in lineage(tracker, chain["data"].key[:16])]
        assert forward == [(0, "data"), (1, "study"), (2, "refit"), (3, "model")]

    def test_a_data_file_is_traced_by_its_own_digest(self, tracker: Tracker) -> None:
        run, key, file = tracker.open_run("run", {}), fresh(), fresh()
        data = data_record(key, 400)
        data = data.model_copy(update={"sources": {**data.sources, "mine.csv": file}})
        step = tracker.open_step(run, "prepare", keyed("data", key))
        tracker.log_input(step, data, "data.csv")
        (node,) = lineage(tracker, file[:20])
        assert (node.key, len(node.files)) == (key, 401)
        assert "and 381 more files" in render([node])

    def test_missing_links_are_said(self, tracker: Tracker) -> None:
        refit, study, data = fresh(), fresh(), fresh()
        run = tracker.open_run("run", {})
        tracker.open_step(run, "refit", {**keyed("refit", refit, study=study, data=data), TAG_TRIAL: "3"})
        missing = {node.kind: node.missing for node in lineage(tracker, refit) if node.missing}
        assert missing["trial"] == f"no run at {tracker.uri} is trial 3 of study {study[:12]}"
        assert missing["study"] == f"no run at {tracker.uri} has podium.key = {study}"
        assert missing["data"] == f"no run at {tracker.uri} has podium.key = {data}"
        forward = lineage(tracker, data)
        assert [(node.kind, bool(node.missing)) for node in forward] == [("data", True), ("refit", False)]

    def test_what_cannot_be_found_or_told_apart_is_an_input_error(self, tracker: Tracker) -> None:
        run, common = tracker.open_run("run", {}), uuid.uuid4().hex
        for tail in ("0" * 32, "1" * 32):
            tracker.open_step(run, "refit", keyed("refit", common + tail))
        with pytest.raises(InputError, match="must name one result"):
            lineage(tracker, common)
        with pytest.raises(InputError, match="no key and no data file"):
            lineage(tracker, fresh())
        with pytest.raises(InputError, match="must be a registered model"):
            lineage(tracker, "nobody")

    @staticmethod
    def chain(tracker: Tracker, weights: Path) -> dict[str, object]:
        """Everything a pipeline run records on the way to a champion."""
        run, data, study, decision = tracker.open_run("run", {}), data_record(fresh()), fresh(), fresh()
        prepared = tracker.open_step(run, "prepare", keyed("data", data.key))
        tracker.log_input(prepared, data, "data.csv")
        searched = tracker.open_step(run, "hpo", keyed("study", study, data=data.key))
        for number in range(2):
            tracker.log_trial(searched, trial_record(number))
        model = model_record(fresh(), parents={"study": study, "data": data.key})
        refit = tracker.open_step(run, "refit", keyed("refit", model.key, study=study, data=data.key))
        tracker.log_model(refit, model, "file:///store")
        name = f"news-{fresh()[:8]}"
        decided = tracker.open_step(run, "decide", keyed("decision", decision, selection=fresh()))
        version = tracker.register(name, refit, weights, model, tags={"podium.decision": decision})
        tracker.move_champion(name, version, how="decided", by="run", reason="the first", decision=decision)
        tracker.set_tags(decided, {"podium.verdict": "PROMOTE"})
        for each in (prepared, searched, refit, decided, run):
            tracker.close(each, "FINISHED")
        return {"name": name, "data": data, "refit_run": refit}
