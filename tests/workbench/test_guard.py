"""Who gets into the page, and what it may load."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from eval.workbench.guard import POLICY, Guard
from tests.workbench.conftest import PORT, TOKEN

if TYPE_CHECKING:
    from starlette.testclient import TestClient

COOKIE = f"ameli_workbench_{PORT}={TOKEN}"
OWN = {"host": f"127.0.0.1:{PORT}", "cookie": COOKIE}


@pytest.fixture
def client() -> Iterator[TestClient]:
    """An app that says "in" to whoever the guard lets through."""
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    from starlette.testclient import TestClient

    app = Starlette(routes=[Route("/{_:path}", lambda _: PlainTextResponse("in"), methods=["GET", "POST"])])
    guard = Guard(app, TOKEN, PORT)
    with TestClient(guard, base_url=f"http://127.0.0.1:{PORT}", follow_redirects=False) as made:
        yield made


def test_the_token_opens_once_and_the_cookie_goes_on(client: TestClient) -> None:
    assert client.get("/").status_code == 403
    entered = client.get("/", params={"token": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    assert entered.headers["set-cookie"] == f"{COOKIE}; Path=/; HttpOnly; SameSite=Strict"
    assert client.get("/").text == "in"


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("GET", "/", {}, 200),
        ("GET", "/", {"host": f"localhost:{PORT}"}, 200),
        ("POST", "/api/run", {}, 200),
        ("POST", "/api/run", {"origin": f"http://127.0.0.1:{PORT}"}, 200),
        ("GET", "/", {"host": f"evil.example:{PORT}"}, 421),
        ("GET", "/", {"host": "127.0.0.1"}, 421),
        ("GET", "/", {"host": "127.0.0.1:80"}, 421),
        ("GET", "/", {"cookie": ""}, 403),
        ("GET", "/page.js", {"cookie": ""}, 403),
        ("GET", "/", {"cookie": f"ameli_workbench_{PORT}=the-tokem"}, 403),
        ("GET", "/", {"cookie": f"ameli_workbench_8422={TOKEN}"}, 403),
        ("GET", "/?token=wrong", {"cookie": ""}, 403),
        ("GET", "/?token=", {"cookie": ""}, 403),
        ("GET", f"/api/about?token={TOKEN}", {"cookie": ""}, 403),
        ("POST", f"/?token={TOKEN}", {"cookie": "", "origin": "http://evil.example"}, 403),
        ("POST", "/api/run", {"origin": "http://evil.example"}, 403),
        ("POST", "/api/run", {"origin": "http://127.0.0.1:8422"}, 403),
        ("POST", "/api/run", {"origin": "null"}, 403),
    ],
)
def test_who_gets_in(
    client: TestClient, method: str, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.request(method, path, headers=OWN | headers)
    assert answer.status_code == status, answer.text
    assert (answer.text == "in") is (status == 200)
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert "access-control-allow-origin" not in answer.headers


def test_the_policy_loads_nothing_from_elsewhere_and_runs_no_text() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    sources = {source for name, rule in rules.items() if name.endswith("-src") for source in rule.split()}
    assert sources == {"'none'", "'self'", "blob:"}
    assert "blob:" not in rules["script-src"]
