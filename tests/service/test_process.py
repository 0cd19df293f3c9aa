"""The service as a process: started by the command, asked over a socket, stopped by signals."""

from __future__ import annotations

import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.command import command
from tests.service.process import Served, served


@pytest.fixture
def running(shop: Path, tmp_path: Path) -> Iterator[Served]:
    """A service with a token."""
    with served(shop, tmp_path, AMELI_LLM_TOKEN="0123456789abcdef") as found:
        yield found


def test_a_stop_finishes_what_has_begun(running: Served) -> None:
    bearing = {"Authorization": "Bearer 0123456789abcdef"}
    asked = httpx.post(f"{running.address}/v1/link", json={"body": "red"}, headers=bearing, timeout=60)
    assert asked.json()["candidates"][0]["entity_id"] == "B1"

    host, port = running.address.removeprefix("http://").split(":")
    body = json.dumps([{"body": f"my white one {number}"} for number in range(40)]).encode()
    head = f"POST /v1/link HTTP/1.1\r\nHost: x\r\nAuthorization: {bearing['Authorization']}\r\n"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=60) as begun:
        begun.sendall(head.encode() + body[:10])
        time.sleep(0.3)  # the service has the beginning of the request
        running.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(ConnectionRefusedError), socket.create_connection((host, int(port)), timeout=60):
            pass
        begun.sendall(body[10:])
        answer = b"".join(iter(lambda: begun.recv(1 << 16), b""))
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert len(json.loads(answer.partition(b"\r\n\r\n")[2])) == 40
    assert running.process.wait(60) == 0
    assert [line["status"] for line in running.lines() if line["message"] == "request"] == [200, 200]


def test_wrong_usage_is_one_line(shop: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("AMELI_LLM_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for words, says in (
            (["--host", "0.0.0.0"], "Listening on 0.0.0.0 lets other machines in"),
            (["--port", port], f"Cannot listen on 127.0.0.1, port {port}: Address already in use."),
            (["--images", tmp_path / "none"], "No folder of images at"),
            (["--queue", 5], "A request may have 256 reviews, and 5 may wait"),
            (["--max-pixels", 10**9], "At most 64,000,000 pixels of an image are decoded"),
            (["--changes", tmp_path], f"Cannot write the changes to {tmp_path}: Is a directory."),
        ):
            assert says in command("serve", shop, *words).error


def put_until_killed(running: Served, round_: int) -> set[str]:
    """Ids of products whose change was confirmed before the process was killed in the middle of one."""
    confirmed: set[str] = set()
    with httpx.Client(base_url=running.address, timeout=60) as client:
        for number in range(10_000):
            if number == 3:
                threading.Timer(0.1 * (round_ + 1), running.process.kill).start()
            id_ = f"{round_}-{number}"
            try:
                client.post("/v1/link", json={"body": "red"})
                assert client.put(f"/v1/products/{id_}", json={"name": f"Kettle {id_}"}).status_code == 201
            except httpx.TransportError:
                break
            confirmed.add(id_)
    assert running.process.wait(60) == -signal.SIGKILL
    return confirmed


@pytest.mark.slow
def test_killed_under_load_it_comes_back_with_every_change_that_was_confirmed(
    shop: Path, tmp_path: Path
) -> None:
    confirmed: set[str] = set()
    words = ("--changes", tmp_path / "changes.jsonl")
    for round_ in range(5):
        with served(shop, tmp_path, *words) as running:
            confirmed |= put_until_killed(running, round_)
    assert len(confirmed) >= 15
    with served(shop, tmp_path, *words) as running:
        with httpx.Client(base_url=running.address, timeout=60) as client:
            found = {id_ for id_ in confirmed if client.get(f"/v1/products/{id_}").status_code == 200}
        assert found == confirmed
        running.process.terminate()
        assert running.process.wait(60) == 0
