"""The API of Kubeflow Pipelines over real HTTP, as far as Podium asks it: what it is given stays in memory.

Every answer has the form of the v2beta1 API, with its paging, its filters, and the year 1970 for what has not happened.
"""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Fields = dict[str, Any]

START = datetime(2026, 11, 29, 12, tzinfo=UTC)
NEVER = "1970-01-01T00:00:00Z"


def at(second: float) -> str:
    return (START + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ")


def task(name: str, state: str, started: float, ended: float | None = None, number: int = 0) -> Fields:
    times = {"start_time": at(started), "end_time": NEVER if ended is None else at(ended)}
    return {"display_name": name, "task_id": f"{name}-{number}", "state": state, **times}


def moment(state: str, *tasks: Fields, **fields: Any) -> Fields:
    """What a run is like when it is asked for next."""
    return {"state": state, "run_details": {"task_details": list(tasks)}, **fields}


def stopped() -> Fields:
    """What a run is like that was stopped: the server says that it failed."""
    return moment("FAILED", finished_at=at(9), state_history=[{"state": one} for one in ("CANCELING", "FAILED")])


@dataclass
class Fault:
    """What happens to requests whose path holds `path`: `code` as the answer, 0 for none before the client gives up."""

    path: str
    code: int
    times: int = 1000
    html: bool = False
    method: str = "GET"


class Kfp(ThreadingHTTPServer):
    """The server.

    Attributes:
        course: the moments of each run that is created, one for each time that it is asked for; the last one stays.
        behind_ui: whether the server of the UI answers in its place.
        page_size: the most that a page of a list holds.
        requests: method, path and headers of every request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.version = "2.17.0"
        self.behind_ui = False
        self.page_size = 100
        self.pipelines: list[Fields] = []
        self.versions: list[Fields] = []
        self.packages: list[str] = []
        self.experiments: list[Fields] = []
        self.runs: list[Fields] = []
        self.ids: list[str] = []
        self.schedules: list[Fields] = []
        self.removed: list[tuple[str, str]] = []
        self.terminated: list[str] = []
        self.course: list[Fields] = [moment("SUCCEEDED", finished_at=at(9))]
        self.courses: dict[str, list[Fields]] = {}
        self.faults: list[Fault] = []
        self.requests: list[tuple[str, str, Mapping[str, str]]] = []
        self.released = threading.Event()

    def next_run(self) -> str:
        """The id that the next run will have."""
        self.ids.append(str(uuid.uuid4()))
        return self.ids[-1]

    def add_run(self, fields: Fields) -> Fields:
        second = float(len(self.runs))
        made = {
            "run_id": self.ids.pop() if self.ids else str(uuid.uuid4()),
            "created_at": at(second),
            "finished_at": NEVER,
            "state": "PENDING",
        }
        made |= {"storage_state": "AVAILABLE", **fields}
        self.runs.append(made)
        self.courses[made["run_id"]] = [dict(one) for one in self.course]
        return made

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that gave up is none of the server's business."""


class Handler(BaseHTTPRequestHandler):
    server: Kfp
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    disable_nagle_algorithm = True

    def handle_request(self) -> None:
        url = urlsplit(self.path)
        asked = {name: values[0] for name, values in parse_qs(url.query).items()}
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode()
        self.server.requests.append((self.command, self.path, dict(self.headers)))
        for fault in self.server.faults:
            if fault.path in url.path and fault.method == self.command and fault.times > 0:
                fault.times -= 1
                if fault.code == 0:
                    self.server.released.wait(60)
                    self.close_connection = True
                elif fault.html:
                    self.answer("<html>log in</html>", fault.code, "text/html; charset=utf-8")
                else:
                    self.answer({"code": 7, "message": f"injected {fault.code}"}, fault.code)
                return
        path = url.path.partition("/apis/v2beta1/")[2]
        found = getattr(self, f"{self.command.lower()}_{re.split('[/:]', path)[0]}")(path, asked, body)
        self.answer(*found) if isinstance(found, tuple) else self.answer(found)

    do_GET = do_POST = do_DELETE = handle_request  # noqa: N815

    def get_healthz(self, *_: object) -> Fields:
        named = "apiServerTagName" if self.server.behind_ui else "tag_name"
        return {"multi_user": False, named: self.server.version}

    def get_pipelines(self, path: str, asked: Mapping[str, str], _: str) -> Fields:
        if path.endswith("/versions"):
            pipeline = path.split("/")[1]
            return self.page(
                "pipeline_versions", [v for v in self.server.versions if v["pipeline_id"] == pipeline], asked
            )
        place = asked.get("namespace", "")
        return self.page("pipelines", [one for one in self.server.pipelines if one["namespace"] == place], asked)

    def post_pipelines(self, path: str, asked: Mapping[str, str], body: str) -> Fields:
        self.server.packages.append(body)
        if path.endswith("/upload_version"):
            version = {"pipeline_id": asked["pipelineid"], "display_name": asked["name"]}
            version["pipeline_version_id"] = f"v{len(self.server.versions)}"
            self.server.versions.append(version)
            return version
        made = {"pipeline_id": f"p{len(self.server.pipelines)}", "display_name": asked["name"]}
        made |= {"description": asked["description"], "namespace": asked.get("namespace", "")}
        self.server.pipelines.append(made)
        first = {"pipeline_id": made["pipeline_id"], "display_name": asked["name"]}
        self.server.versions.append({**first, "pipeline_version_id": f"v{len(self.server.versions)}"})
        return made

    def get_experiments(self, path: str, asked: Mapping[str, str], _: str) -> Fields | tuple[Fields, int]:
        if "/" in path:
            return self.one(self.server.experiments, "experiment_id", path)
        place = asked.get("namespace", "")
        return self.page("experiments", [one for one in self.server.experiments if one["namespace"] == place], asked)

    def post_experiments(self, path: str, asked: Mapping[str, str], body: str) -> Fields:
        given = {"namespace": "", **json.loads(body)}
        made = {"experiment_id": f"e{len(self.server.experiments)}", "storage_state": "AVAILABLE", **given}
        self.server.experiments.append(made)
        return made

    def get_runs(self, path: str, asked: Mapping[str, str], _: str) -> Fields | tuple[Fields, int]:
        if "/" in path:
            found = self.one(self.server.runs, "run_id", path)
            if isinstance(found, dict) and (course := self.server.courses[found["run_id"]]):
                found |= course.pop(0)
            return found
        wanted = asked.get("experiment_id")
        runs = [one for one in self.server.runs if wanted in (None, one.get("experiment_id"))]
        assert asked["sort_by"] == "created_at desc"
        return self.page("runs", sorted(runs, key=lambda one: one["created_at"], reverse=True), asked)

    def post_runs(self, path: str, asked: Mapping[str, str], body: str) -> Fields | tuple[Fields, int]:
        if not path.endswith(":terminate"):
            return self.server.add_run(json.loads(body))
        found = self.one(self.server.runs, "run_id", path.removesuffix(":terminate"))
        if isinstance(found, dict):
            self.server.terminated.append(found["run_id"])
            self.server.courses[found["run_id"]] = [moment("CANCELING"), stopped()]
            return {}
        return found

    def get_recurringruns(self, path: str, asked: Mapping[str, str], _: str) -> Fields:
        return self.page("recurringRuns", self.server.schedules, asked)

    def post_recurringruns(self, path: str, asked: Mapping[str, str], body: str) -> Fields:
        made = {"recurring_run_id": f"s{len(self.server.requests)}", "status": "ENABLED", **json.loads(body)}
        self.server.schedules.append(made)
        return made

    def delete_recurringruns(self, path: str, asked: Mapping[str, str], _: str) -> Fields:
        name = path.split("/")[1]
        self.server.removed.append((name, asked.get("propagation_policy", "")))
        self.server.schedules = [one for one in self.server.schedules if one["recurring_run_id"] != name]
        return {}

    def one(self, known: list[Fields], field: str, path: str) -> Fields | tuple[Fields, int]:
        name = path.split("/")[1]
        found = [one for one in known if one[field] == name]
        return found[0] if found else ({"code": 5, "message": f"{name} not found"}, 404)

    def page(self, field: str, known: list[Fields], asked: Mapping[str, str]) -> Fields:
        for one in json.loads(asked.get("filter") or "{}").get("predicates", ()):
            text, substring = one["stringValue"], one["operation"] in (9, "IS_SUBSTRING")
            known = [item for item in known if (text in item[one["key"]] if substring else text == item[one["key"]])]
        start = int(asked.get("page_token") or 0)
        end = start + min(self.server.page_size, int(asked.get("page_size") or 10))
        more = {"next_page_token": str(end)} if end < len(known) else {}
        return {**({field: known[start:end]} if known[start:end] else {}), **more}

    def answer(self, body: Fields | str, code: int = 200, content: str = "application/json") -> None:
        data = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(code)
        self.send_header("Content-Type", content)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        return


@contextmanager
def serving() -> Iterator[Kfp]:
    with Kfp() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
