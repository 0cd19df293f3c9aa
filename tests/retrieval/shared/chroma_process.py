"""A Chroma server of the installed package as a process of its own, and one that stands between."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import httpx

from tests.plugin_vllm import free_port

RUN = "import sys, chromadb_rust_bindings as chroma; chroma.cli(['chroma', 'run', *sys.argv[1:]])"
"""What the command ``chroma run`` does, without its second of imports."""


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of a server over ``folder``, stopped at the end of the block."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with (folder.parent / "chroma.log").open("wb") as log:
        words = ["--host", "127.0.0.1", "--port", str(port), "--path", str(folder)]
        process = subprocess.Popen([sys.executable, "-c", RUN, *words], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 120
        while not _answers(url):
            assert process.poll() is None, (folder.parent / "chroma.log").read_text()
            assert time.monotonic() < deadline, "the Chroma server does not answer"
            time.sleep(0.05)
        yield url
    finally:
        process.kill()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/v2/heartbeat", trust_env=False, verify=False).status_code == 200
    except httpx.TransportError:
        return False


class Between:
    """What a server between does: ``token`` is asked for, by the end of a path ``answers`` replace the real
    ones, and ``delays`` are the seconds before it is asked.

    An answer is a status with a body, or a function of the real body's JSON.
    """

    def __init__(self, real: str) -> None:
        self.real = real
        self.url = ""
        self.token = ""
        self.delays: dict[str, float] = {}
        self.headers: dict[str, str] = {}
        self.answers: dict[str, tuple[int, bytes] | Callable[[Any], Any]] = {}
        self.paths: list[str] = []


@contextmanager
def standing_between(real: str) -> Iterator[Between]:
    """A server in front of the one at ``real``, "" for one that knows its own answers only."""
    state, over = Between(real), Event()

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            state.paths.append(f"{self.command} {self.path}")
            bare = self.path.partition("?")[0]
            wait = next((wait for end, wait in state.delays.items() if bare.endswith(end)), 0.0)
            if over.wait(wait):
                return
            status, content = forward(self.command, self.path, body, self.headers.get("Authorization", ""))
            try:
                self.send_response(status)
                for name, value in {**state.headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except ConnectionError:
                pass  # the client has given up, as it should

        do_GET = do_POST = do_PUT = do_DELETE = answer

        def log_message(self, *args: Any) -> None:
            """Says nothing."""

    def forward(method: str, path: str, body: bytes, authorization: str) -> tuple[int, bytes]:
        if state.token and authorization != f"Bearer {state.token}":
            return 401, b'{"error": "Unauthorized"}'
        bare = path.partition("?")[0]
        scripted = next((one for end, one in state.answers.items() if bare.endswith(end)), None)
        if isinstance(scripted, tuple):
            return scripted
        json_type = {"Content-Type": "application/json"}
        found = client.request(method, state.real + path, content=body, headers=json_type)
        if scripted is None or found.status_code >= 400:
            return found.status_code, found.content
        return found.status_code, json.dumps(scripted(found.json())).encode()

    client = httpx.Client(trust_env=False, timeout=60, verify=False)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = False  # closing it waits for them
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield state
    finally:
        over.set()
        server.shutdown()
        server.server_close()
        thread.join()
        client.close()
