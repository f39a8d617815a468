from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from podium.remote.fetch import fetch


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty cache, and a process that has not fetched anything."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    fetch.cache_clear()
    yield tmp_path / "cache" / "podium" / "fetched"
    fetch.cache_clear()


@dataclass
class WebServer:
    """Files served over http.

    Attributes:
        requests: method, path and first byte of every request.
        tag: headers that identify a content.
        status: what every request is answered with.
        ranges: whether ranges are known.
        cut: a body ends after so many bytes, and the connection with it.
        held: bodies wait after `cut` bytes until `go_on` is set, instead of ending.
    """

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    requests: list[tuple[str, str, int]] = field(default_factory=list)
    tag: dict[str, str] = field(default_factory=lambda: {"ETag": '"one"'})
    status: int = 200
    ranges: bool = True
    cut: int | None = None
    held: bool = False
    waiting: threading.Event = field(default_factory=threading.Event)
    go_on: threading.Event = field(default_factory=threading.Event)

    def count(self, method: str) -> int:
        return sum(one[0] == method for one in self.requests)


@pytest.fixture
def web() -> Iterator[WebServer]:
    found = WebServer()

    class Handler(BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            self.answer("HEAD")

        def do_GET(self) -> None:
            self.answer("GET")

        def answer(self, method: str) -> None:
            path = self.path.partition("?")[0]
            match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
            first = int(match[1]) if match and found.ranges else 0
            found.requests.append((method, path, first))
            whole = found.files.get(path)
            if found.status != 200 or whole is None:
                self.send_error(found.status if found.status != 200 else 404)
                return
            last = int(match[2]) if match and found.ranges and match[2] else len(whole) - 1
            body = whole[first : last + 1]
            self.send_response(206 if match and found.ranges else 200)
            self.send_header("Content-Length", str(len(body)))
            if match and found.ranges:
                self.send_header("Content-Range", f"bytes {first}-{first + len(body) - 1}/{len(whole)}")
            for name, value in found.tag.items():
                self.send_header(name, value)
            self.end_headers()
            if method == "GET":
                served = sum(one[0] == "GET" for one in found.requests[:-1])
                cut = found.cut if served or not found.ranges else None
                self.wfile.write(body[:cut])
                if cut is not None and found.held:
                    found.waiting.set()
                    found.go_on.wait()
                    self.wfile.write(body[cut:])

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield found
    finally:
        found.go_on.set()
        server.shutdown()
        thread.join()
        server.server_close()
