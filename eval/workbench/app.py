"""The page and what it asks for, as an ASGI app."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ameli_llm.errors import AmeliError
from eval.watching.drafts import Draft
from eval.workbench.asked import MAX_BODY, DraftAsked, TryAsked, read
from eval.workbench.bench import Bench
from eval.workbench.guard import Guard
from eval.workbench.photos import MAX_PHOTO
from eval.workbench.sample_job import SampleJob

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import ASGIApp

log = logging.getLogger(__name__)

PAGE = Path(__file__).parent / "page"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.js": ("page.js", "text/javascript"),
    "/page.css": ("page.css", "text/css"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def create_app(bench: Bench, job: SampleJob, token: str, port: int) -> ASGIApp:
    """The app of a session that listens at ``port``; who knows ``token`` may use it."""
    from starlette.applications import Starlette
    from starlette.routing import Route

    actions = Actions(bench, job)
    reading: dict[str, Callable[[Request], Any]] = {
        "/api/about": lambda _: bench.about(),
        "/api/reviews": lambda request: bench.reviews.found(request.query_params.get("search", "")),
        "/api/review": lambda request: bench.reviews.whole(_id(request)),
        "/api/template": lambda request: bench.template(request.query_params.get("name", "")),
        "/api/photo": lambda request: bench.reviews.photo(_id(request), _number(request)),
        "/api/sample": lambda _: job.state(),
    }
    doing: dict[str, Callable[[bytes], Any]] = {
        "/api/check": actions.check,
        "/api/run": actions.run,
        "/api/save": actions.save,
        "/api/sample": actions.sample,
        "/api/sample/stop": lambda _: job.stop(),
        "/api/photo": lambda body: {"photo": bench.reviews.photos.add(body)},
    }
    limits = {"/api/photo": MAX_PHOTO}
    routes = [Route(path, _file(*file), methods=["GET"]) for path, file in FILES.items()]
    routes += [Route(path, _reads(get), methods=["GET"]) for path, get in reading.items()]
    routes += [
        Route(path, _does(do, limits.get(path, MAX_BODY)), methods=["POST"]) for path, do in doing.items()
    ]
    return Guard(Starlette(routes=routes), token, port)


class Actions:
    """What requests with a body do."""

    def __init__(self, bench: Bench, job: SampleJob) -> None:
        self._bench = bench
        self._job = job
        self._asking = threading.Lock()

    def check(self, body: bytes) -> dict[str, Any]:
        """Lint and prompts."""
        asked = read(TryAsked, body)
        return self._bench.check(Draft(asked.name, asked.source), asked.review)

    def run(self, body: bytes) -> dict[str, Any]:
        """One review; not while the sample is linked, whose requests are counted."""
        asked = read(TryAsked, body)
        with self._asking:
            if self._job.running:
                raise AmeliError("The sample is being linked.", hint="Wait for it, or stop it.")
            return self._bench.run(Draft(asked.name, asked.source), asked.review)

    def save(self, body: bytes) -> dict[str, Any]:
        """A new file."""
        asked = read(DraftAsked, body)
        return self._bench.save(Draft(asked.name, asked.source))

    def sample(self, body: bytes) -> dict[str, Any]:
        """The sample, in the background."""
        asked = read(DraftAsked, body)
        with self._asking:
            return self._job.start(Draft(asked.name, asked.source))


def _id(request: Request) -> str:
    return str(request.query_params.get("id", ""))


def _number(request: Request) -> int:
    text = request.query_params.get("number", "")
    return int(text) if text.isdecimal() and len(text) < 4 else -1


def _file(name: str, kind: str) -> Callable[[Request], Any]:
    def serve(_: Request) -> Response:
        from starlette.responses import FileResponse

        return FileResponse(PAGE / name, media_type=kind)

    return serve


def _reads(get: Callable[[Request], Any]) -> Callable[[Request], Any]:
    def serve(request: Request) -> Response:
        return _answer(lambda: get(request))

    return serve


def _does(do: Callable[[bytes], Any], most: int) -> Callable[[Request], Any]:
    async def serve(request: Request) -> Response:
        from starlette.concurrency import run_in_threadpool

        body = bytearray()
        async for part in request.stream():
            body += part
            if len(body) > most:
                return _error(413, f"The request has more than {most} bytes.")
        return await run_in_threadpool(_answer, lambda: do(bytes(body)))

    return serve


def _answer(make: Callable[[], Any]) -> Response:
    from starlette.responses import Response

    try:
        made = make()
    except AmeliError as error:
        return _error(422, str(error))
    except Exception:
        log.exception("a request of the page failed")
        return _error(500, "That failed; what the command printed says why.")
    if isinstance(made, bytes):
        return Response(made, media_type="image/webp")
    return Response(_json(made), media_type="application/json")


def _error(status: int, text: str) -> Response:
    from starlette.responses import Response

    return Response(_json({"error": text}), status, media_type="application/json")


def _json(content: Any) -> str:
    """In ASCII: a text may hold half of a surrogate pair, which is no UTF-8."""
    return json.dumps(content, allow_nan=False)
