"""Kubeflow Pipelines over kfp's client: every request is bounded in time, and every error says what to do."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import urllib3

from podium.errors import ClusterError, InputError
from podium.text import redact, shortened

PIPELINE = "podium-champion"
"""Name of the pipeline that Podium registers."""

ENDPOINT_VARIABLE, TOKEN_VARIABLE = "KF_PIPELINES_ENDPOINT", "PODIUM_KFP_TOKEN"
COOKIE_VARIABLE, CA_VARIABLE = "PODIUM_KFP_COOKIE_FILE", "PODIUM_KFP_CA_FILE"

FINAL = ("SUCCEEDED", "FAILED", "CANCELED", "SKIPPED")
"""The states that a run does not leave."""

OLDEST = (2, 17)
"""The oldest version of the server that the compiled pipeline is tested with."""

CONNECT_SECONDS, SILENT_SECONDS = 10.0, 30.0
"""How long a connection may take, and the server be silent."""

_RETRIES = urllib3.Retry(
    2, connect=False, read=False, backoff_factor=0.2, status_forcelist=(502, 503, 504), raise_on_status=False
)
"""Repeats what changes nothing; a run whose creation got no answer is found by its key when it is submitted again."""

_PAGE = 100
_SHOWN = 10
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CREDENTIALS = f"the token in {TOKEN_VARIABLE}, or the cookie in the file that {COOKIE_VARIABLE} names"
_HINTS = {
    400: "correct what it names; a Kubeflow of several users needs your profile: --namespace NAME",
    401: f"log in again and renew {_CREDENTIALS}",
    403: "name a profile that you may edit with --namespace NAME, or ask its owner for the role kubeflow-edit",
    404: "check the endpoint: it must be the API of Kubeflow Pipelines, without a path below it",
}
_LATER = "see whether its pods run (kubectl get pods -n kubeflow), and run the same command again"


class Kubeflow:
    """The API of Kubeflow Pipelines at one endpoint, for one namespace.

    Methods raise ClusterError where the server refuses or does not answer, and InputError for a run that there is not.

    Args:
        endpoint: URL; empty for `KF_PIPELINES_ENDPOINT`, else the service of the cluster of this pod or kubeconfig.
        namespace: the profile; empty where Kubeflow has one user.

    Attributes:
        client: kfp's own.
        version: of the server; empty where it does not say.
    """

    def __init__(self, endpoint: str = "", namespace: str = "") -> None:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            self.client, self.version = _connected(endpoint)
        self.endpoint = redact(str(self._api.configuration.host))
        self.namespace = namespace or self.client.get_user_namespace() or ""
        numbers = tuple(map(int, re.findall(r"\d+", self.version)[:2]))
        if len(numbers) == 2 and numbers < OLDEST:
            raise ClusterError(
                f"Kubeflow Pipelines must be of version {OLDEST[0]}.{OLDEST[1]} or later, but {self.endpoint} is "
                f"{self.version}; have it upgraded, or name another endpoint"
            )

    @property
    def _api(self) -> Any:
        return self.client._run_api.api_client

    def link(self, kind: str, name: str) -> str:
        """Address of a run, an experiment or a recurring run in the UI."""
        place = redact(os.environ.get("KF_PIPELINES_UI_ENDPOINT", self.endpoint)).rstrip("/")
        return f"{place}/#/{kind}/details/{name}"

    def experiment(self, name: str, *, create: bool) -> Any:
        """The experiment of this name; None where there is none and none is to be created."""
        listed = self.client.list_experiments(filter=_named(name), namespace=self.namespace or None)
        found = [one for one in listed.experiments or () if one.storage_state != "ARCHIVED"]
        if found or not create:
            return found[0] if found else None
        with contextlib.redirect_stdout(io.StringIO()):
            return self.client.create_experiment(name, "Runs of Podium", self.namespace or None)

    def runs(self, experiment_id: str | None = None, name_part: str = "") -> Iterator[Any]:
        """Podium's runs that are not archived, the newest first; `name_part` is what their name must hold."""
        where = {"experiment_id": experiment_id} if experiment_id else {"namespace": self.namespace or None}
        given = {"sort_by": "created_at desc", "filter": _named(name_part, "IS_SUBSTRING") if name_part else None}
        for run in _pages(lambda token: self.client.list_runs(token, _PAGE, **given, **where), "runs"):
            if run.storage_state != "ARCHIVED" and self._is_own(run):
                yield run

    def run(self, name: str) -> Any:
        """The run of an id, of the beginning of one, or the newest one for `latest`."""
        if _RUN_ID.fullmatch(name):
            return self.client.get_run(name)
        if name == "latest":
            found = next(self.runs(), None)
            if found is None:
                raise InputError(f"{self.endpoint} has no run of Podium; start one with podium submit")
            return self.client.get_run(found.run_id)
        if not re.fullmatch(r"[0-9a-f-]+", name):
            raise InputError(f"RUN is an id, its first digits, or latest, but got {name!r}; podium runs lists them")
        runs = [run.run_id for run in self.runs() if run.run_id.startswith(name)]
        if len(runs) != 1:
            what = shortened(runs, _SHOWN) or "none of Podium's"
            raise InputError(f"{name!r} must begin the id of one run, but it begins {what}; podium runs lists them")
        return self.client.get_run(runs[0])

    def create_run(self, name: str, experiment_id: str, version: tuple[str, str], parameters: Mapping[str, Any]) -> Any:
        """Start a run of a version, which is given by the ids of the pipeline and of the version."""
        with contextlib.redirect_stdout(io.StringIO()):
            return self.client.run_pipeline(
                experiment_id, name, params=dict(parameters), pipeline_id=version[0], version_id=version[1]
            )

    def schedules(self) -> list[Any]:
        where = self.namespace or None
        pages = _pages(lambda token: self.client.list_recurring_runs(token, _PAGE, namespace=where), "recurring_runs")
        return [one for one in pages if self._is_own(one)]

    def remove_schedule(self, schedule_id: str) -> None:
        """Delete a recurring run, but not the runs that it has started, which are its property in Kubernetes."""
        api = self.client._recurring_run_api
        api.recurring_run_service_delete_recurring_run(schedule_id, propagation_policy="ORPHAN")

    def _is_own(self, run: Any) -> bool:
        if run.pipeline_version_reference is not None:
            return run.pipeline_version_reference.pipeline_id in self._pipelines
        # Of a file that was given to `kfp run create`.
        return bool((run.pipeline_spec or {}).get("pipelineInfo", {}).get("name") == "champion")

    @cached_property
    def _pipelines(self) -> set[str]:
        """Ids of Podium's pipelines: the shared one and that of the profile."""
        places = {None, self.namespace or None}
        listed = [self.client.list_pipelines(filter=_named(PIPELINE), namespace=one) for one in places]
        return {pipeline.pipeline_id for page in listed for pipeline in page.pipelines or ()}


def _named(name: str, operation: str = "EQUALS") -> str:
    return json.dumps({"predicates": [{"operation": operation, "key": "display_name", "stringValue": name}]})


def _pages(ask: Any, field: str) -> Iterator[Any]:
    token = ""
    while True:
        page = ask(token)
        yield from getattr(page, field) or ()
        token = page.next_page_token or ""
        if not token:
            return


def _connected(endpoint: str) -> tuple[Any, str]:
    """kfp's client, which was asked for the health of the server, and the version that the server says it has."""
    from kfp import Client
    from kfp.client import KF_PIPELINES_SA_TOKEN_ENV, KF_PIPELINES_SA_TOKEN_PATH, ServiceAccountTokenVolumeCredentials

    class Bounded(Client):  # type: ignore[misc]
        version: str | None = None

        def get_kfp_healthz(self, sleep_duration: int = 0) -> Any:
            # kfp's own asks five times, with a traceback for each failure. The constructor calls this, too.
            api = self._healthz_api.api_client
            if api.configuration.host == "http://localhost" and not (endpoint or os.environ.get(ENDPOINT_VARIABLE)):
                raise InputError(
                    "Kubeflow Pipelines must be named, but there is neither --endpoint URL nor a usable kubeconfig; "
                    f"give the URL, such as http://localhost:8080 after kubectl port-forward, or {ENDPOINT_VARIABLE}"
                )
            if self.version is None:
                _bound(api)
            answer = self._healthz_api.healthz_service_get_healthz()
            # The generated model leaves the version out; the server of the UI has another name for it.
            facts = json.loads(api.last_response.data)
            self.version = str(facts.get("tag_name") or facts.get("apiServerTagName") or "")
            return answer

    token = os.environ.get(TOKEN_VARIABLE) or None
    projected = Path(os.environ.get(KF_PIPELINES_SA_TOKEN_ENV) or KF_PIPELINES_SA_TOKEN_PATH)
    client = Bounded(
        endpoint or None,
        existing_token=token,
        cookies=_cookie(),
        ssl_ca_cert=os.environ.get(CA_VARIABLE) or None,
        credentials=ServiceAccountTokenVolumeCredentials(str(projected)) if projected.is_file() else None,
    )
    if client.version is None:
        client.get_kfp_healthz()
    return client, client.version or ""


def _cookie() -> str | None:
    """The cookie of a login in a browser, from a file, so that it is in no command line."""
    file = os.environ.get(COOKIE_VARIABLE)
    if not file:
        return None
    try:
        return Path(file).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{COOKIE_VARIABLE} must name a file with a cookie, but {file} cannot be read: {error}"
        ) from error


def _bound(api: Any) -> None:
    """Bound what the requests of a client may take, and make Podium's errors of what they raise."""
    rest, endpoint = api.rest_client, redact(str(api.configuration.host))
    ask = rest.request
    rest.pool_manager.connection_pool_kw["retries"] = _RETRIES

    def request(method: str, url: str, **given: Any) -> Any:
        from kfp_server_api.exceptions import ApiException

        given["_request_timeout"] = (CONNECT_SECONDS, SILENT_SECONDS)
        try:
            answer = ask(method, url, **given)
        except (ApiException, urllib3.exceptions.HTTPError) as error:
            raise _explained(error, endpoint) from error
        if "html" in (answer.getheader("content-type") or ""):
            raise ClusterError(
                f"Kubeflow Pipelines at {endpoint} must answer with JSON, but a page for browsers came, as of a login; "
                f"give {_CREDENTIALS}, and check that the endpoint is that of the API",
                status=401,
            )
        return answer

    rest.request = request


def _explained(error: Exception, endpoint: str) -> ClusterError:
    """The error of a request: the words of the server, where it gave any, and what to do."""
    place = f"Kubeflow Pipelines at {endpoint}"
    status = getattr(error, "status", None) or None
    if status is None:
        cause = getattr(error, "reason", None) or error
        slow = isinstance(cause, urllib3.exceptions.ReadTimeoutError)
        what = f"did not answer within {SILENT_SECONDS:g} s" if slow else f"cannot be reached ({type(cause).__name__})"
        advice = _LATER if slow else "check the URL and the port-forward or proxy, and run the same command again"
        if isinstance(cause, urllib3.exceptions.SSLError) or "SSLError" in str(cause):
            advice = f"name the file with its certificate authority in {CA_VARIABLE}"
        return ClusterError(f"{place} {what}; {advice}")
    body = getattr(error, "body", None) or b""
    try:
        answer = json.loads(body)
        reason = answer.get("message") or answer.get("error") or error.reason  # type: ignore[attr-defined]
    except (ValueError, AttributeError):
        reason = error.reason  # type: ignore[attr-defined]
    hint = _HINTS.get(status, _LATER if status >= 500 else "correct what it names")
    return ClusterError(f"{place} answers {status}: {str(reason)[:400]}; {hint}", status=status)
