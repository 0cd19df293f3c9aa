"""A server of the OpenAI protocol that answers from a script, faults included."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Answer:
    """One answer of the script; ``cut`` ends the connection after that many bytes of the body (-1: never)."""

    status: int = 200
    body: str | dict[str, Any] = "{}"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0
    cut: int = -1


def said(text: str | None, finish_reason: str = "stop", **tokens: float) -> Answer:
    """A chat completion that says ``text``, with top log-probabilities when ``tokens`` are given."""
    top = [{"token": token, "logprob": value, "bytes": None} for token, value in tokens.items()]
    choice = {
        "index": 0,
        "message": {"role": "assistant", "content": text},
        "finish_reason": finish_reason,
        "logprobs": {"content": [{"token": text, "logprob": 0.0, "top_logprobs": top}]} if top else None,
    }
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 4}}
    return Answer(body={"id": "x", "choices": [choice], "usage": usage})


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    script: ScriptedServer

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client went away: part of the script


class ScriptedServer:
    """Answers posts in the order of ``answers``, the last one again and again; keeps what was asked."""

    def __init__(self, port: int = 0) -> None:
        self.answers: list[Answer | Callable[[dict[str, Any]], Answer]] = [said("hello")]
        self.models: Answer = Answer(body={"data": [{"id": "tiny", "root": "/models/tiny"}]})
        self.version: Answer = Answer(body={"version": "0.32.0"})
        self.posts: list[tuple[str, dict[str, Any]]] = []
        self.gets: list[str] = []
        self.headers: list[dict[str, str]] = []
        self.authorization = ""
        self.in_flight = 0
        self.most_in_flight = 0
        self.lock = threading.Lock()
        self.released = threading.Event()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.script = self
        self.port = int(self._server.server_address[1])
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def next_answer(self, path: str, body: dict[str, Any]) -> Answer:
        with self.lock:
            number = len(self.posts)
            self.posts.append((path, body))
            answer = self.answers[min(number, len(self.answers) - 1)]
        return answer if isinstance(answer, Answer) else answer(body)

    def stop(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        script = self.server.script
        script.gets.append(self.path)
        script.headers.append({name.lower(): value for name, value in self.headers.items()})
        known = {"/v1/models": script.models, "/version": script.version}
        self._send(known.get(self.path, Answer(404, {"detail": "Not Found"})))

    def do_POST(self) -> None:
        script = self.server.script
        script.headers.append({name.lower(): value for name, value in self.headers.items()})
        script.authorization = self.headers.get("Authorization", "")
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with script.lock:
            script.in_flight += 1
            script.most_in_flight = max(script.most_in_flight, script.in_flight)
        try:
            answer = script.next_answer(self.path, body)
            script.released.wait(answer.seconds)
        finally:
            with script.lock:
                script.in_flight -= 1
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        text = answer.body if isinstance(answer.body, str) else json.dumps(answer.body)
        content = text.encode()
        if answer.cut == 0:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self.send_response(answer.status)
        for name, value in ({"Content-Type": "application/json"} | answer.headers).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content if answer.cut < 0 else content[: answer.cut])
        if answer.cut > 0:
            self.close_connection = True

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def scripted(port: int = 0) -> Iterator[ScriptedServer]:
    server = ScriptedServer(port)
    try:
        yield server
    finally:
        server.stop()
