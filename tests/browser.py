"""A headless Chromium that a test or a benchmark drives over its debugging port."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from websockets.sync.client import connect

STARTS = 30.0
"""Seconds that the browser may take to start."""

ANSWERS = 30.0
"""Seconds that the browser may take to answer."""


def chromium() -> str | None:
    """The browser's program, None when there is none."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Browser:
    """One page of a browser that keeps nothing. ``seen`` are the events of the page that is open."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self._numbers = itertools.count(1)
        self._open = ExitStack()

    def __enter__(self) -> Browser:
        with ExitStack() as opened:
            home = opened.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True))
            process = opened.enter_context(_started(Path(home)))
            self._socket = opened.enter_context(
                connect(_target(Path(home), process), max_size=None, proxy=None)
            )
            for domain in ("Page", "Runtime", "Network", "Log"):
                self.call(f"{domain}.enable")
            self._open = opened.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.close()

    def call(self, method: str, **values: Any) -> Any:
        """The result of a command of the protocol; raises RuntimeError where the browser refuses it."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "method": method, "params": values}))
        while (message := json.loads(self._socket.recv(timeout=ANSWERS))).get("id") != number:
            self.seen.append(message)
        if "error" in message:
            raise RuntimeError(f"{method}: {message['error']}")
        return message["result"]

    def open(self, address: str) -> None:
        """Opens a page and waits until it is loaded."""
        self.seen.clear()
        self.call("Page.navigate", url=address)
        while not any(one["method"] == "Page.loadEventFired" for one in self.seen):
            self.seen.append(json.loads(self._socket.recv(timeout=ANSWERS)))

    def run(self, code: str) -> Any:
        """The value of an expression in the page; promises are waited for. RuntimeError where it throws."""
        answer = self.call("Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def until(self, condition: str) -> None:
        """Waits until an expression holds in the page."""
        end = time.monotonic() + ANSWERS
        while not self.run(f"Boolean({condition})"):
            if time.monotonic() > end:
                raise TimeoutError(condition)
            time.sleep(0.02)

    def key(self, name: str) -> None:
        """Presses and releases a key: a letter, or a name such as Enter."""
        text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def looks(self, width: int, height: int, dark: bool = False) -> None:
        """Sets the size of the window and the colours that the reader prefers."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sizes)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self) -> bytes:
        """What the window shows, as PNG."""
        return base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"])

    @property
    def complaints(self) -> list[str]:
        """Exceptions and messages of the page that is open, refusals of its policy among them."""
        kinds = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return [json.dumps(one["params"]) for one in self.seen if one["method"] in kinds]

    @property
    def requested(self) -> list[str]:
        """Addresses that the page that is open asked for, itself among them; pictures inside it are not."""
        sent = (one for one in self.seen if one["method"] == "Network.requestWillBeSent")
        addresses = (one["params"]["request"]["url"] for one in sent)
        return [address for address in addresses if not address.startswith("data:")]


@contextmanager
def _started(home: Path) -> Iterator[subprocess.Popen[bytes]]:
    program = chromium()
    if program is None:
        raise FileNotFoundError("no chromium")
    words = ["--headless=new", "--disable-gpu", "--no-first-run", "--remote-debugging-port=0"]
    words += ["--no-sandbox"] if os.geteuid() == 0 else []
    words += [f"--user-data-dir={home}", "about:blank"]
    with subprocess.Popen([program, *words], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield process
        finally:
            process.terminate()


def _target(home: Path, process: subprocess.Popen[bytes]) -> str:
    """The address of the browser's page."""
    port = home / "DevToolsActivePort"
    end = time.monotonic() + STARTS
    while not (port.is_file() and "\n" in port.read_text()):
        if time.monotonic() > end or process.poll() is not None:
            raise TimeoutError("chromium did not start")
        time.sleep(0.05)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(f"http://127.0.0.1:{port.read_text().split()[0]}/json", timeout=ANSWERS) as answer:
        return next(str(one["webSocketDebuggerUrl"]) for one in json.load(answer) if one["type"] == "page")
