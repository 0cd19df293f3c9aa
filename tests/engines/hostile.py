"""A server that answers every request with the same bytes, however many: what no honest server sends."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager


def head(status: str = "200 OK", **headers: str) -> bytes:
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode()


def whole(body: bytes, status: str = "200 OK", **headers: str) -> bytes:
    """An answer with its length, after which the connection ends."""
    return head(status, Content_Length=str(len(body)), Connection="close", **headers) + body


class HostileServer(socketserver.ThreadingTCPServer):
    """``requests`` counts what was asked, ``sent`` the bytes of the longest answer before it was cut."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, answer: Callable[[], Iterable[bytes]]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answer = answer
        self.requests: list[str] = []
        self.sent = 0
        self.base_url = f"http://127.0.0.1:{self.server_address[1]}/v1"


class _Handler(socketserver.StreamRequestHandler):
    server: HostileServer

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        if not line:
            return
        self.server.requests.append(" ".join(line.split()[:2]))
        length = 0
        while (header := self.rfile.readline().strip().lower()) != b"":
            if header.startswith(b"content-length:"):
                length = int(header.partition(b":")[2])
        self.rfile.read(length)
        sent = 0
        try:
            for part in self.server.answer():
                self.wfile.write(part)
                sent += len(part)
                self.server.sent = max(self.server.sent, sent)
        except OSError:
            pass  # the client has had enough


@contextmanager
def hostile(answer: Callable[[], Iterable[bytes]]) -> Iterator[HostileServer]:
    with HostileServer(answer) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
