"""Step `profile`: where the time of the winner goes, in the form in which it is deployed."""

from __future__ import annotations

from pathlib import Path

from podium.jsonfile import write_text
from podium.keys import Key
from podium.records import ArtifactRef, BenchmarkRecord, DataRecord, DecisionRecord, ProfileRecord
from podium.stages.step import StepInputs, StepRun
from podium.tasks import TASKS

PAGE = "profile.html"


def skipped_profile(inputs: StepInputs, key: Key) -> ProfileRecord | None:
    """The result where there is nothing to profile; None where there is. Its time is that of the decision."""
    decision = inputs.one(DecisionRecord)
    if not inputs.config.profile.tools:
        code, reason = "OFF", "profile.tools is empty"
    elif decision.winner is None:
        code, reason = "NO_WINNER", "no model is fit to ship"
    else:
        return None
    about = {"key": key.digest, "parents": {decision.kind: decision.key}, "created_at": decision.created_at}
    return ProfileRecord(**about, status="skipped", code=code, reason=reason)


def model_of_winner(inputs: StepInputs) -> ArtifactRef | None:
    """The files of the winner as it is deployed; None where nothing won."""
    decision = inputs.one(DecisionRecord)
    name = f"model.{decision.winner}.{decision.winner_variant or 'eager'}"
    return inputs.one(BenchmarkRecord).artifacts.get(name)


def compute(step: StepRun) -> ProfileRecord:
    """Profile the winner on held-out rows that mirror the lengths of the data."""
    from podium.benchmarking.calls import sample_rows
    from podium.data.artifact import DataArtifact
    from podium.devices.hardware import fingerprint
    from podium.profiling.session import Subject, profile
    from podium.stages.profile_job import second_stage

    config, data, decision = step.config.profile, step.one(DataRecord), step.one(DecisionRecord)
    files = model_of_winner(step)
    if files is None or decision.winner is None:
        raise AssertionError("a step without a winner is skipped")
    held_out = list(DataArtifact(step.store.fetch(data.artifacts["data"])).test[TASKS.get(data.task).content])
    subject = Subject(
        path=str(step.store.fetch(files).absolute()),
        name=decision.winner,
        digest=files.digest,
        task=data.task,
        variant=decision.winner_variant or "eager",
        rows=sample_rows(held_out, min(config.rows, len(held_out)), step.config.seed),
        trust_remote_code=step.config.entrants[decision.winner].trust_remote_code,
    )
    hardware = fingerprint(config.device, config.threads)
    with step.store.scratch() as scratch:
        folder = (step.directory or scratch) / "profile"
        record = profile(subject, config, hardware, folder, step.stamp, second_stage(step))
        publish(record, folder / PAGE)
        record = record.model_copy(update={"artifacts": {"profile": step.store.put_artifact("profile", folder)}})
        for file in (folder / PAGE, folder / "record.json"):
            step.tracker.log_file(step.mlflow_run_id, file, "profile")
    step.tracker.log_params(step.mlflow_run_id, {"model": record.model, "status": record.status})
    seconds = {f"{one.name}_seconds": one.median for one in record.phases}
    step.tracker.log_metrics(step.mlflow_run_id, {**record.figures, **seconds})
    return record


def publish(record: ProfileRecord, page: str | Path) -> None:
    """Write the page of a profile, such as that of an artifact, which Kubeflow Pipelines shows in its UI."""
    from podium.report.render import profile_html

    write_text(Path(page), profile_html(record))
