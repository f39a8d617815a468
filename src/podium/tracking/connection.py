"""One connection to MLflow: made at first use, silent, and with retries for a bounded time."""

from __future__ import annotations

import gc
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock

from podium.errors import PodiumError, TrackingError
from podium.text import redact
from podium.tracking.base import Tracker
from podium.tracking.moved import ARTIFACTS, follow

R = TypeVar("R")

PATIENCE_SECONDS = 30.0
"""How long a call is repeated; its last attempt may still take `REQUEST_SECONDS` (20 s on a locked sqlite file)."""
REQUEST_SECONDS = 15
"""How long MLflow waits for an answer; the environment variable `MLFLOW_HTTP_REQUEST_TIMEOUT` overrides it."""

_SQLITE = "sqlite:///"
_FIRST_DELAY, _LONGEST_DELAY = 0.25, 4.0
_PASSING = frozenset({408, 429, 500, 502, 503, 504})
_ABSENT = "TEMPORARILY_UNAVAILABLE"
_DENIED = frozenset({"PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED", "UNAUTHENTICATED"})
_CREDENTIALS = "Give credentials in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN."
_NO_TRACKING = "Check tracking.uri, or set tracking.mode=off to run without tracking."
_importing = threading.Lock()


class Connection(Tracker):
    """The client of one MLflow server or database, and the retries around every call to it.

    MLflow's own retries are switched off: they repeat a request that creates something although its answer may only
    have been lost, are bounded by their number and not by time, and do not cover a locked sqlite file.

    Args:
        uri: sqlite:///PATH, http(s)://HOST, or another database URI. It may hold credentials.
        experiment: name of the experiment that new parent runs go to; made at first use.
        patience: seconds for which a call that fails for a passing reason is repeated. After a call that gave up, the
            next ones are tried only once until one succeeds, so that a step ends soon when there is no server.
    """

    def __init__(self, uri: str, experiment: str, patience: float = PATIENCE_SECONDS) -> None:
        self._uri = uri
        self._experiment = experiment
        self._patience = patience
        self._unreachable = False
        self._client: Any = None
        self._connecting = threading.Lock()
        self._own_experiment = ""

    @property
    def uri(self) -> str:
        return redact(self._uri)

    def _call(self, doing: str, action: Callable[[Any], R], done: Callable[[Any], R | None] | None = None) -> R:
        """Run `action(client)`, again while it fails for a passing reason and patience lasts.

        Args:
            done: finds what an earlier attempt created although its answer was lost, or None; called before an action
                is repeated that must not create something twice.

        Raises:
            TrackingError: MLflow refused, or did not answer in time.
        """
        started = time.monotonic()
        patience = 0.0 if self._unreachable else self._patience
        delay, attempts = _FIRST_DELAY, 0
        while True:
            attempts += 1
            try:
                client = self._connect()
                found = done(client) if done and attempts > 1 else None
                result = action(client) if found is None else found
            except PodiumError:
                raise
            except Exception as error:
                waited, doing = time.monotonic() - started, redact(doing)
                if not self._is_passing(error):
                    advice = _CREDENTIALS if error_code(error) in _DENIED else _NO_TRACKING
                    raise TrackingError(
                        f"MLflow at {self.uri} refused while {doing}: {_cause(error)}. {advice}"
                    ) from None
                if waited + delay > patience:
                    self._unreachable = True
                    raise TrackingError(
                        f"MLflow at {self.uri} did not answer while {doing}: {attempts} attempts in {waited:.0f} s, "
                        f"the last ended with {_cause(error)}. Start the server and run the same command again (what "
                        "is finished is reused), or set tracking.mode=off to run without tracking."
                    ) from None
            else:
                self._unreachable = False
                return result
            time.sleep(delay * random.uniform(0.75, 1.0))
            delay = min(delay * 2, _LONGEST_DELAY)

    def _connect(self) -> Any:
        with self._connecting:
            if self._client is None:
                client_type = load_mlflow().MlflowClient
                with _without_collection(), self._alone():
                    if self._uri.startswith(_SQLITE):
                        follow(self._database)
                    if not self._uri.startswith("http"):
                        # Try the first connection once; MLflow would try ten times in 100 s and has no setting for it.
                        import_module("mlflow.store.db.utils").MAX_RETRY_COUNT = 1  # type: ignore[attr-defined]
                    self._client = client_type(self._uri, registry_uri=self._uri)
            return self._client

    def _alone(self) -> AbstractContextManager[Any]:
        """A lock beside a sqlite file, since MLflow fails when two processes create its tables at once."""
        if not self._uri.startswith(_SQLITE):
            return nullcontext()
        self._database.parent.mkdir(parents=True, exist_ok=True)
        return FileLock(self._database.with_name(f"{self._database.name}.lock"))

    @property
    def _database(self) -> Path:
        return Path(self._uri.removeprefix(_SQLITE).partition("?")[0]).absolute()

    def _experiment_id(self, client: Any) -> str:
        """Id of the configured experiment, made if need be; artifacts of a sqlite file lie beside it."""
        if not self._own_experiment:
            found = client.get_experiment_by_name(self._experiment)
            if found is None:
                local = self._uri.startswith(_SQLITE)
                location = (self._database.parent / ARTIFACTS).as_uri() if local else None
                or_none(lambda: client.create_experiment(self._experiment, location), "RESOURCE_ALREADY_EXISTS")
                found = client.get_experiment_by_name(self._experiment)
            if found.lifecycle_stage != "active":
                raise TrackingError(
                    f"experiment {self._experiment!r} at {self.uri} must be active, but it is deleted; restore it "
                    f"(mlflow experiments restore --experiment-id {found.experiment_id}) or name another one: "
                    "tracking.experiment=NAME"
                )
            self._own_experiment = str(found.experiment_id)
        return self._own_experiment

    def _run(self, run_id: str) -> Any:
        """The run as MLflow has it, or None when it is not recorded here."""
        return self._call(f"looking up run {run_id}", lambda client: or_none(lambda: client.get_run(run_id)))

    def _is_passing(self, error: Exception) -> bool:
        """Whether the same call may succeed later: no answer, 408, 429, 5xx, or a locked or absent database."""
        from mlflow.exceptions import MlflowException
        from requests import HTTPError, RequestException  # type: ignore[import-untyped]
        from sqlalchemy.exc import OperationalError

        if self._uri.startswith(_SQLITE):
            return "database is locked" in str(error) or "database table is locked" in str(error)
        if isinstance(error, MlflowException):
            database = not self._uri.startswith("http")
            return error_code(error) == _ABSENT if database else error.get_http_status_code() in _PASSING
        if isinstance(error, HTTPError):
            return error.response is not None and error.response.status_code in _PASSING
        return isinstance(error, (RequestException, OperationalError))


@cache
def load_mlflow() -> Any:
    """The mlflow module, imported so that it prints nothing, sends no telemetry, and leaves retries to `Connection`."""
    os.environ.update(
        MLFLOW_CONFIGURE_LOGGING="false",
        MLFLOW_DISABLE_TELEMETRY="true",
        MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR="false",
        MLFLOW_HTTP_REQUEST_MAX_RETRIES="0",
        MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT="true",
        GIT_PYTHON_REFRESH="quiet",
    )
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", str(REQUEST_SECONDS))
    logging.getLogger("mlflow").setLevel(logging.CRITICAL)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    with _importing, _without_collection():
        import mlflow
    return mlflow


def error_code(error: Exception) -> str:
    """MLflow's name for the reason of a failure, such as RESOURCE_DOES_NOT_EXIST; empty for other errors."""
    return str(getattr(error, "error_code", ""))


def or_none(ask: Callable[[], R], code: str = "RESOURCE_DOES_NOT_EXIST") -> R | None:
    """The answer to a request, or None where it fails for the reason `code`."""
    try:
        return ask()
    except load_mlflow().MlflowException as error:
        if error_code(error) != code:
            raise
        return None


def _cause(error: Exception) -> str:
    text = " ".join(redact(str(error)).split())
    return f"{type(error).__name__}: {text[:600]}"


@contextmanager
def _without_collection() -> Iterator[None]:
    """Keep the garbage collector off imported modules, which halves the time to import mlflow and to exit after it."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()
