"""An HTTP server that speaks chat completions, well or badly, as a test says."""

from __future__ import annotations

import json
import math
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One response; `half` sends only so many bytes of it and ends the connection, `hang` waits before it."""

    status: int = 200
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    half: int | None = None
    hang: threading.Event | None = None


Behaviour = Callable[[dict[str, Any], int], Answer]
"""The answer to a request, which has been sent so many times before with the same messages."""


def said(body: Mapping[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def completion(text: str | None, **more: Any) -> dict[str, Any]:
    """The body of a completion; `more` are `finish_reason`, `logprobs`, and fields of the message or the usage."""
    choice = {"index": 0, "finish_reason": more.pop("finish_reason", "stop"), "logprobs": more.pop("logprobs", None)}
    usage = more.pop("usage", {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10})
    message = {"role": "assistant", "content": text, **more}
    about = {"id": "c", "object": "chat.completion", "created": 1, "model": "fake", "usage": usage}
    return {**about, "choices": [{**choice, "message": message}]}


def likely(**tokens: float) -> dict[str, Any]:
    """Log-probabilities of the first token, from the probabilities of the likeliest."""
    top = [{"token": name, "logprob": math.log(value), "bytes": None} for name, value in tokens.items()]
    return {"content": [{**top[0], "top_logprobs": top}]}


def well(body: dict[str, Any], times: int) -> Answer:
    """A server that does all that it is asked: it echoes, obeys the schema and the limit, and gives probabilities."""
    if form := body.get("response_format"):
        properties = form["json_schema"]["schema"]["properties"]
        value = {name: one["enum"][0] if "enum" in one else "why" for name, one in properties.items()}
        return Answer(body=completion(json.dumps(value)))
    words = said(body).split()
    kept = words[: body["max_tokens"]]
    tokens = {"prompt_tokens": len(words), "completion_tokens": len(kept), "total_tokens": len(words) + len(kept)}
    reason = "stop" if kept == words else "length"
    top = likely(yes=0.5, no=0.25, never=0.125, Hello=0.125) if body.get("logprobs") else None
    return Answer(body=completion(" ".join(kept), usage=tokens, finish_reason=reason, logprobs=top))


@dataclass
class ChatServer:
    """A server under way; `bodies` are the requests in the order in which they came."""

    url: str
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str | None] = field(default_factory=set)
    most_at_once: int = 0


@contextmanager
def serving(behave: Behaviour = well) -> Iterator[ChatServer]:
    """Serve on a free port of this machine until the end of the body."""
    lock, times, running = threading.Lock(), Counter[str](), 0

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: Any) -> None:
            return None

        def do_GET(self) -> None:
            self._send(Answer(body={"object": "list", "data": [{"id": "fake", "object": "model"}]}))

        def do_POST(self) -> None:
            nonlocal running
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                running += 1
                server.most_at_once = max(server.most_at_once, running)
                server.bodies.append(body)
                server.keys.add(self.headers.get("Authorization"))
                name = json.dumps(body["messages"])
                before, times[name] = times[name], times[name] + 1
            try:
                self._send(behave(body, before))
            finally:
                with lock:
                    running -= 1

        def _send(self, answer: Answer) -> None:
            if answer.hang is not None:
                answer.hang.wait()
            data = answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            try:
                self.send_response(answer.status)
                for name, value in {"Content-Type": "application/json", **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data[: answer.half])
            except OSError:
                return
            if answer.half is not None:
                self.close_connection = True

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 100

        def handle_error(self, *_: Any) -> None:
            return None

    with Server(("127.0.0.1", 0), Handler) as http:
        server = ChatServer(f"http://127.0.0.1:{http.server_port}/v1")
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
