"""A relay in front of a real server: it counts the model calls, and it can die."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    relay: Relay

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # the client or the relay went away


class Relay:
    """Passes requests on to ``base_url``. Gone after ``dies_after`` model calls, as a killed server is.

    ``port`` is that of a relay that died, to come back as the same server; 0: a new one.
    """

    def __init__(self, base_url: str, dies_after: int | None = None, port: int = 0) -> None:
        self.upstream = urlsplit(base_url).netloc
        self.dies_after = dies_after
        self.calls = 0
        self._lock = threading.Lock()
        self._connections: list[socket.socket] = []
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.relay = self
        self.port = int(self._server.server_address[1])
        self.base_url = f"http://127.0.0.1:{self.port}/v1"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def counted(self) -> bool:
        """Counts a model call; whether the relay still lives to pass it on."""
        with self._lock:
            self.calls += 1
            alive = self.dies_after is None or self.calls <= self.dies_after
        if not alive:
            self.stop()
        return alive

    def stop(self) -> None:
        """Closes the port; idempotent."""
        self._server.shutdown()
        self._server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        self._pass_on(None)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.relay.counted():
            self._pass_on(body)
        else:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

    def _pass_on(self, body: bytes | None) -> None:
        upstream = http.client.HTTPConnection(self.server.relay.upstream, timeout=120)
        try:
            upstream.request(self.command, self.path, body, {"Content-Type": "application/json"})
            answer = upstream.getresponse()
            content = answer.read()
        finally:
            upstream.close()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def relayed(base_url: str, dies_after: int | None = None, port: int = 0) -> Iterator[Relay]:
    relay = Relay(base_url, dies_after, port)
    try:
        yield relay
    finally:
        relay.stop()
