"""The tracker against a real MLflow server: the contract, and the server going away and coming back."""

from __future__ import annotations

import http.server
import socket
import threading
import time
import uuid
from collections.abc import Iterator

import pytest

from podium.config.schema import TrackingConfig
from podium.errors import TrackingError
from podium.tracking import tracker_for
from podium.tracking.connection import PATIENCE_SECONDS, REQUEST_SECONDS
from podium.tracking.mlflow_tracker import MlflowTracker
from tests.unit.tracking import conformance
from tests.unit.tracking.conformance import RecordingConformance
from tests.unit.tracking.conformance_models import ModelConformance
from tests.unit.tracking.support import Server, free_port, trial_record

pytestmark = pytest.mark.integration
weights = conformance.weights


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = Server(tmp_path_factory.mktemp("server"))
    server.start()
    yield server
    server.stop()


class TestServer(RecordingConformance, ModelConformance):
    trials = 6

    @pytest.fixture
    def uri(self, server: Server) -> str:
        return server.uri


class Failing:
    """Answers each request with the next of `codes`, and the last one for ever."""

    def __init__(self, *codes: int) -> None:
        self.codes = list(codes)
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outer.asked += 1
                code = outer.codes.pop(0) if len(outer.codes) > 1 else outer.codes[0]
                self.send_response(code)
                self.end_headers()
                self.wfile.write(b"<html>no</html>")

            do_POST = do_GET  # noqa: N815

            def log_message(self, *arguments: object) -> None:
                return

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.uri = f"http://me:s3cr3t@127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


def test_a_server_that_dies_is_told_in_time_and_used_again_when_it_is_back(server: Server) -> None:
    tracker = MlflowTracker(server.uri, f"test-{uuid.uuid4().hex[:8]}", patience=2.0)
    run = tracker.open_run("run", {})
    step = tracker.open_step(run, "hpo", {"podium.key": uuid.uuid4().hex * 2})
    server.stop()
    began = time.monotonic()
    with pytest.raises(TrackingError) as caught:
        tracker.log_metrics(step, {"loss": 1.0})
    waited = time.monotonic() - began
    assert 1.0 < waited < 10.0
    assert f"MLflow at {server.uri} did not answer while logging to run {step}" in str(caught.value)
    assert "tracking.mode=off" in str(caught.value) and "Start the server" in str(caught.value)

    began = time.monotonic()
    with pytest.raises(TrackingError):
        tracker.close(step, "FAILED")
    assert time.monotonic() - began < 1.0, "once patience has run out, ending the step does not wait again"

    patient = MlflowTracker(server.uri, "podium")
    back = threading.Timer(0.5, server.start)
    back.start()
    patient.log_trial(step, trial_record(0))
    back.join()
    tracker.close(step, "FINISHED")
    found = tracker.run(step)
    assert found is not None and found.status == "FINISHED"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again_then_told(code: int) -> None:
    failing = Failing(code)
    with pytest.raises(TrackingError, match=f"did not answer while opening run.*{code}") as caught:
        MlflowTracker(failing.uri, "podium", patience=1.0).open_run("run", {})
    assert failing.asked > 2
    assert "s3cr3t" not in str(caught.value) and "http://***@127.0.0.1" in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize(("code", "advice"), [(401, "MLFLOW_TRACKING_USERNAME"), (404, "Check tracking.uri")])
def test_a_refusal_is_told_at_once(code: int, advice: str) -> None:
    failing = Failing(code)
    with pytest.raises(TrackingError, match="refused while opening run") as caught:
        MlflowTracker(failing.uri, "podium", patience=30.0).open_run("run", {})
    assert advice in str(caught.value)


def test_a_server_that_was_never_there_is_told_in_time() -> None:
    tracker = tracker_for(TrackingConfig(uri=f"http://127.0.0.1:{free_port()}"))
    tracker._patience = 1.0
    with pytest.raises(TrackingError, match=r"did not answer while opening run 'run': .* attempts in"):
        tracker.open_run("run", {})


def test_a_server_that_accepts_and_never_answers_is_told_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.create_server(("127.0.0.1", 0)) as mute:
        began = time.monotonic()
        with pytest.raises(TrackingError, match="did not answer while opening run"):
            MlflowTracker(f"http://127.0.0.1:{mute.getsockname()[1]}", "podium", patience=1.0).open_run("run", {})
    assert time.monotonic() - began < 10.0


def test_the_longest_wait_is_under_a_minute() -> None:
    assert PATIENCE_SECONDS + 20 <= 60 and PATIENCE_SECONDS + 2 * REQUEST_SECONDS <= 60


def test_a_lost_answer_does_not_make_a_second_run(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.exceptions import MlflowException

    tracker = MlflowTracker(server.uri, f"test-{uuid.uuid4().hex[:8]}")
    parent = tracker.open_run("run", {})
    client = tracker._connect()
    real, key, lost = client.create_run, uuid.uuid4().hex, []

    def answer_is_lost(*args: object, **named: object) -> object:
        made = real(*args, **named)
        if not lost:
            lost.append(made.info.run_id)
            raise MlflowException("API request failed with exception: connection reset")
        return made

    monkeypatch.setattr(client, "create_run", answer_is_lost)
    assert tracker.open_step(parent, "step", {"podium.key": key}) == lost[0]
    assert [run.run_id for run in tracker.runs({"podium.key": key})] == lost
