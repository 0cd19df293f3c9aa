"""Chromium without a window, which a test or a benchmark drives over the pipe of its DevTools protocol."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
"""The browser's program, None when there is none."""

ANSWERS = 60.0
"""Seconds that the browser may take to answer."""

COMPLAINTS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
"""Exceptions and messages of a page, refusals of its policy among them."""


class Browser:
    """A browser of its own profile; ``page`` opens tabs. ``events`` are those of all of them."""

    def __init__(self, profile: Path) -> None:
        to_browser, self._in = os.pipe()
        self._out, from_browser = os.pipe()

        def pipes() -> None:
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        if CHROMIUM is None:
            raise FileNotFoundError("no chromium")
        words = [CHROMIUM, "--headless=new", "--remote-debugging-pipe", "--disable-gpu", "--no-first-run"]
        words += ["--no-sandbox"] if os.geteuid() == 0 else []
        words += ["--disable-extensions", "--disable-dev-shm-usage", "--hide-scrollbars"]
        self._process = subprocess.Popen(
            [*words, f"--user-data-dir={profile}", "about:blank"],
            pass_fds=(3, 4),
            preexec_fn=pipes,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._number = 0
        self._rest = b""
        self.events: list[dict[str, Any]] = []

    def page(self) -> Page:
        """A new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable", session)
        return Page(self, session)

    def call(self, method: str, session: str = "", **values: Any) -> Any:
        """The result of a command of the protocol; RuntimeError where the browser refuses it."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": values}
        os.write(self._in, json.dumps(message | ({"sessionId": session} if session else {})).encode() + b"\0")
        while (answer := self._read()).get("id") != self._number:
            self.events.append(answer)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def next_event(self) -> None:
        """Waits for an event and keeps it."""
        self.events.append(self._read())

    @property
    def complaints(self) -> list[str]:
        """Those of all tabs, from the beginning."""
        return [json.dumps(one["params"]) for one in self.events if one.get("method") in COMPLAINTS]

    def close(self) -> None:
        """Ends the browser."""
        with contextlib.suppress(OSError, RuntimeError):
            self.call("Browser.close")
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _read(self) -> dict[str, Any]:
        end = time.monotonic() + ANSWERS
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._out], [], [], max(end - time.monotonic(), 0))
            part = os.read(self._out, 1 << 20) if ready else b""
            if not part:
                raise RuntimeError("the browser does not answer" if not ready else "the browser has ended")
            self._rest += part
        line, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Page:
    """A tab."""

    def __init__(self, browser: Browser, session: str) -> None:
        self._browser = browser
        self._session = session
        self._since = 0

    def call(self, method: str, **values: Any) -> Any:
        """As the browser's, of this tab."""
        return self._browser.call(method, self._session, **values)

    def open(self, address: str) -> None:
        """Opens a page and waits until it is loaded."""
        self._since = len(self._browser.events)
        self.call("Page.navigate", url=address)
        while not any(one["method"] == "Page.loadEventFired" for one in self._seen()):
            self._browser.next_event()

    def run(self, code: str) -> Any:
        """The value of an expression in the page; promises are waited for. RuntimeError where it throws."""
        answer = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in answer:
            raise RuntimeError(json.dumps(answer["exceptionDetails"])[:2000])
        return answer["result"].get("value")

    def until(self, condition: str, seconds: float = 30.0) -> None:
        """Waits until an expression holds in the page, whatever it throws before."""
        end = time.monotonic() + seconds
        while True:
            with contextlib.suppress(RuntimeError):
                if self.run(f"Boolean({condition})"):
                    return
            if time.monotonic() > end:
                raise TimeoutError(f"{condition} did not come true: {self.text()[:2000]}")
            time.sleep(0.02)

    def text(self) -> str:
        """What the page says."""
        return str(self.run("document.body.innerText"))

    def key(self, name: str) -> None:
        """Presses and releases a key: a letter, or a name such as Enter."""
        text = {"Enter": "\r"}.get(name, name if len(name) == 1 else "")
        self.call("Input.dispatchKeyEvent", type="keyDown", key=name, text=text)
        self.call("Input.dispatchKeyEvent", type="keyUp", key=name)

    def type(self, id_: str, text: str) -> None:
        """Puts a text into a field as typing would."""
        self.run(
            f"(() => {{ const e = document.getElementById({json.dumps(id_)});"
            f" e.value = {json.dumps(text)}; e.dispatchEvent(new Event('input', {{bubbles: true}})); }})()"
        )

    def click(self, id_: str) -> None:
        """Clicks an element."""
        self.run(f"document.getElementById({json.dumps(id_)}).click()")

    def looks(self, width: int, height: int = 900, *, dark: bool = False) -> None:
        """Sets the size of the window and the colours that the reader prefers."""
        sizes = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **sizes)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])

    def picture(self, path: Path) -> None:
        """Writes the whole page as PNG."""
        made = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(made["data"]))

    @property
    def complaints(self) -> list[str]:
        """Those since the page was opened."""
        return [json.dumps(one["params"]) for one in self._seen() if one["method"] in COMPLAINTS]

    @property
    def requested(self) -> list[str]:
        """Addresses that the page asked for, itself among them; pictures inside it are not."""
        sent = (one for one in self._seen() if one["method"] == "Network.requestWillBeSent")
        addresses = (one["params"]["request"]["url"] for one in sent)
        return [address for address in addresses if not address.startswith("data:")]

    def _seen(self) -> list[dict[str, Any]]:
        events = self._browser.events[self._since :]
        return [one for one in events if one.get("sessionId") == self._session and "method" in one]


@contextmanager
def browser(profile: Path) -> Iterator[Browser]:
    """A browser that ends with the block."""
    started = Browser(profile)
    try:
        yield started
    finally:
        started.close()
