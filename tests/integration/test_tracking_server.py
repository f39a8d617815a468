"""The tracker against a real MLflow server: the contract, and the server going away and coming back."""

from __future__ import annotations

import http.server
import re
import socket
import threading
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


class Clock:
    """A clock that only sleeping moves, in place of the one of `podium.tracking.connection`."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("podium.tracking.connection.time", clock)
    return clock


def attempts(error: TrackingError) -> int:
    found = re.search(r"(\d+) attempts in", str(error))
    assert found is not None, error
    return int(found[1])


def test_a_server_that_dies_is_an_error_in_time(server: Server, clock: Clock) -> None:
    tracker = MlflowTracker(server.uri, f"test-{uuid.uuid4().hex[:8]}")
    run = tracker.open_run("run", {})
    step = tracker.open_step(run, "hpo", {"podium.key": uuid.uuid4().hex * 2})
    server.stop()
    with pytest.raises(TrackingError) as caught:
        tracker.log_metrics(step, {"loss": 1.0})
    assert attempts(caught.value) > 5 and PATIENCE_SECONDS / 2 < clock.now <= PATIENCE_SECONDS
    assert f"MLflow at {server.uri} did not answer while logging to run {step}" in str(caught.value)
    assert "tracking.mode=off" in str(caught.value) and "Start the server" in str(caught.value)
    with pytest.raises(TrackingError) as caught:
        tracker.close(step, "FAILED")
    assert attempts(caught.value) == 1, "once patience has run out, ending the step does not wait again"
    server.start()
    tracker.close(step, "FAILED")


def test_a_server_that_is_back_is_used_again(server: Server) -> None:
    patient = MlflowTracker(server.uri, "podium", patience=300.0)
    step = patient.open_run("run", {"podium.key": uuid.uuid4().hex * 2})
    server.stop()
    back = threading.Timer(0.5, server.start)
    back.start()
    patient.log_trial(step, trial_record(0))
    back.join()
    patient.close(step, "FINISHED")
    found = patient.run(step)
    assert found is not None and found.status == "FINISHED"


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_busy_server_is_asked_again_then_an_error(code: int, clock: Clock) -> None:
    failing = Failing(code)
    with pytest.raises(TrackingError, match=f"did not answer while opening run.*{code}") as caught:
        MlflowTracker(failing.uri, "podium").open_run("run", {})
    assert failing.asked == attempts(caught.value) > 5
    assert "s3cr3t" not in str(caught.value) and "http://***@127.0.0.1" in str(caught.value)
    assert caught.value.__cause__ is None and caught.value.__suppress_context__


@pytest.mark.parametrize(("code", "advice"), [(401, "MLFLOW_TRACKING_USERNAME"), (404, "Check tracking.uri")])
def test_a_refusal_is_an_error_at_once(code: int, advice: str) -> None:
    failing = Failing(code)
    with pytest.raises(TrackingError, match="refused while opening run") as caught:
        MlflowTracker(failing.uri, "podium").open_run("run", {})
    assert advice in str(caught.value) and failing.asked == 1


def test_a_server_that_was_never_there_is_an_error_in_time(clock: Clock) -> None:
    tracker = tracker_for(TrackingConfig(uri=f"http://127.0.0.1:{free_port()}"))
    with pytest.raises(TrackingError, match=r"did not answer while opening run 'run': .* attempts in"):
        tracker.open_run("run", {})
    assert clock.now <= PATIENCE_SECONDS


def test_a_server_that_accepts_and_never_answers_is_an_error_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with (
        socket.create_server(("127.0.0.1", 0)) as mute,
        pytest.raises(TrackingError, match="did not answer while opening run") as caught,
    ):
        MlflowTracker(f"http://127.0.0.1:{mute.getsockname()[1]}", "podium", patience=1.0).open_run("run", {})
    assert attempts(caught.value) == 1, "the wait for an answer counts"


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
